"""AST and its filter banks against those of transformers, on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

REASON = "parity needs PyTorch and transformers: see the parity extra"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

from sigjax.convert.ast import convert_ast, read_ast  # noqa: E402
from sigjax.models.ast import Ast, resize_positions  # noqa: E402
from sigjax.signal.fbank import (  # noqa: E402
    PRESETS,
    STATISTICS,
    fbank,
    fit_frames,
    normalise,
)

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "max_length": 74,
    "num_mel_bins": 40,
    "time_stride": 10,
    "frequency_stride": 12,
    "num_labels": 5,
}


def network(**changes):
    """One of transformers whose every weight is random, norms and biases too."""
    torch.manual_seed(0)
    config = transformers.ASTConfig(**(SIZES | changes))
    made = transformers.ASTForAudioClassification(config).eval()
    with torch.no_grad():
        for name, value in made.named_parameters():
            spread = 0.1 if value.ndim == 1 else value[0].numel() ** -0.5
            value.copy_(spread * torch.randn(value.shape))
            if "layernorm" in name and name.endswith("weight"):
                value += 1
    return made


def ours_of(made):
    state = {k: v.detach().numpy() for k, v in made.state_dict().items()}
    return convert_ast(state, settings=made.config.to_dict())


def features(weights, x):
    return jax.jit(Ast(weights.config).apply)({"params": weights.params}, x)


@pytest.fixture(scope="module")
def both():
    x = np.random.default_rng(0).normal(size=(2, 74, 40)).astype("f4")
    made = network()
    return made, ours_of(made), x


def test_tokens_features_and_scores_are_those_of_transformers(both):
    made, weights, x = both
    with torch.no_grad():
        inner = made.audio_spectrogram_transformer(torch.tensor(x))
        scores = made(torch.tensor(x)).logits.numpy()
    variables = {"params": weights.params}
    tokens = jax.jit(lambda v, x: Ast(weights.config).apply(v, x, method="encode"))
    theirs = inner.last_hidden_state.numpy()
    assert theirs.std() > 0.5
    np.testing.assert_allclose(tokens(variables, x), theirs, atol=1e-5)
    got = features(weights, x)
    np.testing.assert_allclose(got, inner.pooler_output.numpy(), atol=1e-5)
    norm, linear = weights.head["norm"], weights.head["logits"]
    spread = np.sqrt(np.var(got, axis=-1, keepdims=True) + weights.head_eps)
    h = (got - got.mean(axis=-1, keepdims=True)) / spread * norm["scale"]
    h = (h + norm["bias"]) @ linear["kernel"] + linear["bias"]
    np.testing.assert_allclose(h, scores, atol=1e-5)


def test_gradients_are_those_of_transformers(both):
    made, weights, x = both
    made.zero_grad()
    inner = made.audio_spectrogram_transformer
    (inner(torch.tensor(x)).pooler_output ** 2).sum().backward()
    slopes = {
        k: np.zeros_like(v.detach()) if v.grad is None else v.grad.numpy()
        for k, v in made.named_parameters()
    }
    expected = convert_ast(slopes, settings=made.config.to_dict()).params

    def loss(params):
        return (
            Ast(weights.config).apply({"params": params}, jnp.asarray(x)) ** 2
        ).sum()

    got = jax.jit(jax.grad(loss))(weights.params)
    largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    assert largest > 0.1
    for (path, one), two in zip(
        jax.tree_util.tree_leaves_with_path(got),
        jax.tree.leaves(expected),
        strict=True,
    ):
        np.testing.assert_allclose(
            one, two, rtol=1e-4, atol=1e-5 * largest, err_msg=str(path)
        )


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_what_transformers_saves_is_read(both, kind, tmp_path):
    made, weights, _ = both
    if kind == "safetensors":
        made.save_pretrained(tmp_path)
    else:
        made.config.save_pretrained(tmp_path)
        torch.save(made.state_dict(), tmp_path / "pytorch_model.bin")
    found = read_ast(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, found.params, weights.params)
    jax.tree.map(np.testing.assert_array_equal, found.head, weights.head)
    assert found.labels == tuple(f"LABEL_{i}" for i in range(5))


def test_positions_are_resized_as_torch_does_it():
    table = np.random.default_rng(0).normal(size=(5, 7, 3)).astype("f4")
    theirs = torch.nn.functional.interpolate(
        torch.tensor(table).permute(2, 0, 1)[None], size=(12, 19), mode="bilinear"
    )[0].permute(1, 2, 0)
    np.testing.assert_allclose(resize_positions(table, (12, 19)), theirs, atol=1e-6)


def test_filter_banks_are_those_of_transformers():
    random = np.random.default_rng(0)
    waves = 0.1 * random.normal(size=(3, 20_000)).astype("f4")
    waves[1, 8000:] *= 1e-4  # loud, then quiet
    waves[2] = 0.9 * np.sin(2 * np.pi * 440 / 16000 * np.arange(20_000)) + 0.05
    with pytest.warns(UserWarning, match="all zero values"):  # one band is empty
        extractor = transformers.ASTFeatureExtractor(max_length=150)
    theirs = extractor(list(waves), sampling_rate=16000, return_tensors="np")
    x = jax.jit(lambda x: fit_frames(fbank(x, PRESETS["ast"]), 150))(jnp.asarray(waves))
    got = normalise(x, *STATISTICS["audioset"])
    np.testing.assert_allclose(got, theirs["input_values"], atol=1e-5)
