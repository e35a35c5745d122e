"""What `benchmarks.audio_step` measures against computes what our networks compute."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity needs PyTorch: see the parity extra"
)

from benchmarks import audio_step_torch as peer  # noqa: E402
from sigjax.models.ast import Ast, ast_size  # noqa: E402
from sigjax.models.dat import Dat, dat_size  # noqa: E402
from sigjax.signal.fbank import PRESETS, fbank, fit_frames  # noqa: E402


def array(value):
    return value.detach().numpy()


def linear(layer):
    """Of a linear layer or a convolution of any size, a norm's scale and bias too."""
    weight = array(layer.weight)
    if isinstance(layer, torch.nn.LayerNorm):
        return {"scale": weight, "bias": array(layer.bias)}
    turned = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
    bias = {} if layer.bias is None else {"bias": array(layer.bias)}
    return {"kernel": turned, **bias}


def shaken(network):
    """Norms and biases that are not at their start."""
    with torch.no_grad():
        for value in network.parameters():
            value += 0.1 * value.abs().mean().clamp_min(0.1) * torch.randn(value.shape)
    return network.eval()


def dat_params(network):
    params = {"norm": linear(network.norm)}
    for i, layer in enumerate(network.convolutions):
        name = f"down{i}" if i else "stem"
        params[name], params[f"{name}_norm"] = linear(layer), linear(network.norms[i])
    for i, stage in enumerate(network.stages, 1):
        for j, block in enumerate(stage, 1):
            inner = block.attention
            found = {"table": array(inner.table), "out": linear(inner.out)}
            if block.kind != "D":
                found["qkv"] = linear(inner.qkv)
            else:
                for name in ("q", "k", "v", "out"):
                    made = linear(getattr(inner, name))
                    found[name] = made | {"kernel": made["kernel"][0, 0]}
                first, norm, _, last = inner.offsets
                found["offsets"] = {
                    **linear(first),
                    "norm": linear(norm),
                    "points": linear(last)["kernel"][0, 0],
                }
            params[f"stage{i}_block{j}"] = {
                "norm1": linear(block.norm1),
                "norm2": linear(block.norm2),
                "attention": found,
                "mlp": {"up": linear(block.up), "down": linear(block.down)},
            }
    return params


def test_the_pyramid_is_ours(monkeypatch):
    torch.manual_seed(0)
    blocks = ("L", "S", "LD", "LD")
    monkeypatch.setattr(peer, "DAT", blocks)
    network = shaken(peer.Dat(first=32, drop_path=0.0))
    config = dat_size(
        "v1",
        "tiny",
        widths=(32, 64, 128, 256),
        heads=(1, 2, 4, 8),
        groups=(1, 1, 1, 2),
        blocks=blocks,
        dtype="float32",
    )
    x = np.random.default_rng(0).normal(size=(2, 1024, 128)).astype("f4")
    got = jax.jit(Dat(config).apply)({"params": dat_params(network)}, x)
    with torch.no_grad():
        theirs = array(network(torch.tensor(x)))
    assert theirs.std() > 0.1
    np.testing.assert_allclose(got, theirs, atol=2e-5)


def test_the_transformer_is_ours():
    torch.manual_seed(0)
    network = shaken(peer.Ast("tiny"))
    blocks = []
    for block in network.blocks:
        qkv = linear(block.qkv)
        by_head = {
            k: v.reshape(*v.shape[:-1], 3, 3, 64).swapaxes(-3, -2).reshape(v.shape)
            for k, v in qkv.items()
        }
        blocks.append(
            {
                "attention_norm": linear(block.norm1),
                "attention": {"qkv": by_head, "out": linear(block.out)},
                "mlp_norm": linear(block.norm2),
                "mlp_up": linear(block.up),
                "mlp_down": linear(block.down),
            }
        )
    patch = linear(network.patch)
    positions, tokens = array(network.positions), array(network.tokens)
    params = {
        "patch": {"kernel": patch["kernel"].reshape(256, 192), "bias": patch["bias"]},
        "class_token": tokens[0],
        "distillation_token": tokens[1],
        "token_positions": positions[:2],
        "positions": positions[2:].reshape(12, 101, 192),
        "blocks": jax.tree.map(lambda *leaves: np.stack(leaves), *blocks),
        "norm": linear(network.norm),
    }
    x = np.random.default_rng(0).normal(size=(1, 1024, 128)).astype("f4")
    got = jax.jit(Ast(ast_size("tiny", dtype="float32")).apply)({"params": params}, x)
    with torch.no_grad():
        theirs = array(network(torch.tensor(x)))
    assert theirs.std() > 0.1
    np.testing.assert_allclose(got, theirs, atol=5e-5)


def test_its_filter_banks_are_ours():
    training = peer.Training.__new__(peer.Training)
    training.filters = peer.mel_filters()
    training.window = torch.hann_window(peer.SIZE, periodic=False)
    x = 0.1 * np.random.default_rng(0).normal(size=(2, 20_000)).astype("f4")
    theirs = array(training.banks(torch.tensor(x)))
    got = jax.jit(lambda x: fit_frames(fbank(x, PRESETS["ast"]), 1024))(x)
    np.testing.assert_allclose(got, theirs, atol=1e-3)
