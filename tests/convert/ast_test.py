"""Made-up weights of every kind; whole networks are compared in tests/parity."""

import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.convert.ast import convert_ast, read_ast
from sigjax.convert.ast_layout import DEIT, NEWER, OWN, TRANSFORMERS, Layout
from sigjax.convert.torch_files import WeightsError
from sigjax.models.ast import Ast, AstConfig, resize_positions

D, DEPTH, MLP, CLASSES = 64, 2, 48, 3
SETTINGS = {
    "max_length": 56,
    "num_mel_bins": 36,
    "patch_size": 16,
    "time_stride": 10,
    "frequency_stride": 10,
    "hidden_size": D,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 1,
    "intermediate_size": MLP,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "qkv_bias": True,
    "id2label": {"0": "dog", "1": "rain", "2": "saw"},
}
# Positions: 3 x 5 patches of the settings; AudioSet's 12 x 101; a picture's 4 x 4.
COUNTS = {"transformers": 15, "newer": 15, "own": 1212, "deit": 16}
LAYOUTS = {"transformers": TRANSFORMERS, "newer": NEWER, "own": OWN, "deit": DEIT}


def state_of(kind: str) -> dict[str, np.ndarray]:
    """Random arrays under the names of a kind."""
    layout: Layout = LAYOUTS[kind]
    random = np.random.default_rng(0)
    prefix = "audio_spectrogram_transformer." if layout.described else layout.prefix
    shapes: dict[str, tuple[int, ...]] = {
        prefix + layout.positions: (1, 2 + COUNTS[kind], D),
        prefix + layout.patch + ".weight": (D, layout.colours, 16, 16),
        prefix + layout.patch + ".bias": (D,),
    }
    for name in layout.tokens:
        shapes[prefix + name] = (1, 1, D)

    def layer(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    layer(prefix + layout.norm, D)
    for i in range(DEPTH):
        start = prefix + layout.block.format(i)
        for name in layout.norms:
            layer(start + name, D)
        for name in layout.qkv:
            layer(start + name, 3 * D // len(layout.qkv), D)
        layer(start + layout.out, D, D)
        layer(start + layout.mlp[0], MLP, D)
        layer(start + layout.mlp[1], D, MLP)
    if layout.head:
        layer(layout.head[0], D)
        layer(layout.head[1], CLASSES, D)
    if not layout.described:
        layer(prefix + "head", 1000, D)
        layer(prefix + "head_dist", 1000, D)
    return {k: random.normal(size=s).astype("f4") for k, s in shapes.items()}


def converted(kind: str, state=None, **options):
    settings = SETTINGS if kind in ("transformers", "newer") else None
    return convert_ast(state or state_of(kind), settings=settings, **options)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_parameters_are_those_of_a_new_network(kind):
    weights = converted(kind)
    c = weights.config
    x = jax.ShapeDtypeStruct((1, c.frames, c.bands), "f4")
    new = jax.eval_shape(Ast(c).init, jax.random.key(0), x)["params"]
    assert jax.tree.map(lambda a: (a.shape, a.dtype), weights.params) == jax.tree.map(
        lambda a: (a.shape, a.dtype), new
    )
    assert (c.width, c.depth, c.heads, c.mlp) == (D, DEPTH, 1, MLP)
    described = kind in ("transformers", "newer")
    assert c.norm_eps == (1e-12 if described else 1e-6)
    assert weights.head_eps == (1e-12 if described else 1e-5)
    size = (56, 36) if described else (1024, 128)
    assert (
        (c.frames, c.bands)
        == size
        == (
            weights.preprocessing["frames"],
            weights.preprocessing["fbank"]["n_mels"],
        )
    )
    heads = {f"{p}.{k}" for p in ("head", "head_dist") for k in ("weight", "bias")}
    prefix = LAYOUTS[kind].prefix
    assert set(weights.ignored) == (
        set() if described else {prefix + name for name in heads}
    )


def test_both_ways_of_naming_give_the_same():
    old = state_of("transformers")
    pairs = zip(
        state_of("transformers"), state_of("newer"), strict=True
    )  # made in one order
    new = {theirs: old[name] for name, theirs in pairs}
    one, two = converted("transformers"), converted("newer", new)
    jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
    bare = "audio_spectrogram_transformer."
    alone = {k.removeprefix(bare): v for k, v in old.items() if k.startswith(bare)}
    three = converted("transformers", alone)
    jax.tree.map(np.testing.assert_array_equal, one.params, three.params)
    assert three.head is None and three.labels is None
    assert one.labels == ("dog", "rain", "saw")


def test_queries_keys_and_values_come_head_by_head():
    state = state_of("transformers") | {}
    start = "audio_spectrogram_transformer.encoder.layer.1.attention.attention."
    two = SETTINGS | {"num_attention_heads": 2}
    kernel = convert_ast(state, settings=two).params["blocks"]["attention"]["qkv"]
    for n, name in enumerate(("query", "key", "value")):
        for head in range(2):
            at = slice((3 * head + n) * 32, (3 * head + n + 1) * 32)
            rows = slice(32 * head, 32 * (head + 1))
            ours = kernel["kernel"][1][:, at].T
            np.testing.assert_array_equal(ours, state[f"{start}{name}.weight"][rows])
            bias = state[f"{start}{name}.bias"][rows]
            np.testing.assert_array_equal(kernel["bias"][1][at], bias)


def test_a_network_of_pictures_sees_a_spectrogram_as_a_grey_one():
    state = state_of("deit")
    weights = converted("deit", frames=36, bands=96)  # 9 x 3 patches
    summed = state["patch_embed.proj.weight"].sum(axis=1).reshape(D, 256)
    np.testing.assert_array_equal(weights.params["patch"]["kernel"], summed.T)
    table = state["pos_embed"][0, 2:].reshape(4, 4, D)
    np.testing.assert_array_equal(
        weights.params["positions"], resize_positions(table, (9, 3))
    )
    np.testing.assert_array_equal(
        weights.params["token_positions"], state["pos_embed"][0, :2]
    )
    assert weights.head is None
    assert weights.notes == (
        "stem summed over 3 colours",
        "positions 4 x 4 -> 9 x 3: the middle where shorter, bilinear where longer",
    )


def test_positions_are_cut_in_the_middle_or_interpolated_at_centres():
    table = np.arange(24.0)[:, None, None] * np.ones((24, 24, 1))
    cut = resize_positions(table, (12, 24))
    np.testing.assert_array_equal(cut[:, 0, 0], np.arange(6, 18))
    odd = resize_positions(table, (7, 5))
    assert odd.shape == (7, 5, 1)
    np.testing.assert_array_equal(odd[:, 0, 0], np.arange(9, 16))
    longer = resize_positions(table.swapaxes(0, 1), (24, 48))
    inner = np.clip((np.arange(48) + 0.5) / 2 - 0.5, 0, 23)
    np.testing.assert_allclose(longer[0, :, 0], inner, rtol=1e-6)
    jaxs = jax.image.resize(jnp.asarray(table, jnp.float32), (101, 24, 1), "bilinear")
    np.testing.assert_allclose(resize_positions(table, (101, 24)), jaxs, atol=1e-5)
    np.testing.assert_array_equal(resize_positions(table, (24, 24)), table)


@pytest.mark.parametrize(
    ("count", "frames", "stride"),
    [(1212, 1024, 10), (600, 512, 10), (144, 128, 10), (512, 1024, 16), (27, 36, 10)],
)
def test_frames_and_strides_are_known_by_the_positions(count, frames, stride):
    state = state_of("own")
    state["v.pos_embed"] = np.zeros((1, 2 + count, D), "f4")
    given = {"frames": 36, "bands": 96} if count == 27 else {}
    found = converted("own", state, **given).config
    assert (found.frames, found.stride_t, found.stride_f) == (frames, stride, stride)


def test_other_frames_resize_the_positions():
    weights = converted("own", frames=512)
    assert weights.config.grid == (12, 50)
    assert weights.params["positions"].shape == (12, 50, D)
    table = state_of("own")["v.pos_embed"][0, 2:].reshape(12, 101, D)
    np.testing.assert_array_equal(weights.params["positions"], table[:, 25:75])
    assert "12 x 101 -> 12 x 50" in weights.notes[0]


def lacking(state, settings):
    state.pop("audio_spectrogram_transformer.encoder.layer.1.intermediate.dense.bias")
    state["audio_spectrogram_transformer.encoder.layer.2.more.weight"] = np.zeros(1)


def changed(name, **value):
    def change(state, settings):
        if name == "settings":
            settings.update(value)
        elif name == "without":
            settings.pop(value["key"])
        else:
            state[f"audio_spectrogram_transformer.{name}"] = value["to"]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lacking, r"lacks .*layer.1.intermediate.dense.bias; it has, .*2.more.weight$"),
        (changed("layernorm.weight", to=np.zeros(7)), r"shape \(7,\), expected \(64,"),
        (changed("layernorm.weight", to=np.full(D, np.nan)), "no finite numbers"),
        (changed("settings", max_length=66), r"shape \(1, 17, 64\), expected \(1, 20,"),
        (changed("settings", hidden_act="relu"), "hidden_act 'relu'"),
        (changed("settings", num_attention_heads=5), "no multiple of heads"),
        (changed("settings", patch_size=[16, 8]), "not square"),
        (
            changed("settings", id2label={"0": "a"}),
            "3 classes, but id2label .* names 1",
        ),
        (changed("settings", id2label={"1": "a"}), "are not 0 to 0"),
        (changed("without", key="time_stride"), "config.json lacks time_stride"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    state, settings = state_of("transformers"), dict(SETTINGS)
    change(state, settings)
    with pytest.raises(WeightsError, match=message):
        convert_ast(state, settings=settings)


def test_other_networks_are_refused():
    with pytest.raises(
        WeightsError, match="no distilled DeiT: it lacks blocks.0.*more"
    ):
        convert_ast({"conv1.weight": np.zeros((2, 2))})
    with pytest.raises(WeightsError, match="config.json is not beside it"):
        convert_ast(state_of("transformers"))
    state = state_of("own")
    state["v.pos_embed"] = np.zeros((1, 2 + 77, D), "f4")
    with pytest.raises(WeightsError, match="77 positions are those of no known size"):
        converted("own", state)
    state = state_of("deit") | {"pos_embed": np.zeros((1, 2 + 17, D), "f4")}
    with pytest.raises(WeightsError, match="17 positions are no square"):
        converted("deit", state)
    with pytest.raises(WeightsError, match="hold no patch of 16 by 16"):
        converted("deit", frames=5)


def safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    header, data = {}, b""
    for name, value in arrays.items():
        spot = [len(data), len(data) + value.nbytes]
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": spot}
        data += value.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_a_snapshot_s_folder_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    extractor = {"mean": -6.6, "std": 5.3, "sampling_rate": 16000, "max_length": 56}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(extractor))
    with pytest.raises(WeightsError, match="folder without model.safetensors or"):
        read_ast(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors(state_of("transformers")))
    weights, alone = read_ast(tmp_path), read_ast(file, frames=36)
    expected = converted("transformers")
    jax.tree.map(np.testing.assert_array_equal, weights.params, expected.params)
    jax.tree.map(np.testing.assert_array_equal, weights.head, expected.head)
    assert weights.preprocessing["mean"] == -6.6
    assert weights.preprocessing["std"] == 5.3
    assert alone.config.frames == 36
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="config.json is damaged"):
        read_ast(tmp_path)


def test_several_classes_a_clip_are_those_of_audioset():
    assert converted("transformers").target == "single"
    several = SETTINGS | {"problem_type": "multi_label_classification"}
    found = convert_ast(state_of("transformers"), settings=several)
    assert found.target == "multi"
    state = state_of("own")
    state["mlp_head.1.weight"] = np.zeros((527, D), "f4")
    state["mlp_head.1.bias"] = np.zeros(527, "f4")
    assert converted("own", state).target == "multi"


def test_a_default_config_is_the_paper_s():
    assert AstConfig().grid == (12, 101)
