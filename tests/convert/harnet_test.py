import pathlib

import jax
import numpy as np
import pytest

from sigjax.convert.harnet import convert_harnet
from sigjax.convert.torch_files import WeightsError, read_state_dict
from sigjax.models.harnet import HarNet, HarNetConfig

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
# As tests/golden/torch_files.py has it.
TINY = HarNetConfig(
    samples=30,
    widths=(2, 3, 2),
    blocks=(1, 0, 1),
    factors=(5, 2, 3),
    orders=(1, 2, 1),
    dtype="float32",
)


@pytest.fixture
def state():
    return read_state_dict(GOLDEN / "harnet_tiny.pt")


def test_features_are_those_of_torch(state):
    weights = convert_harnet(state, TINY)
    expected = np.load(GOLDEN / "harnet_tiny.npz")
    variables = {"params": weights.params, "batch_stats": weights.batch_stats}
    found = jax.jit(HarNet(TINY).apply)(variables, expected["x"])
    assert np.abs(expected["features"]).max() > 0.3
    np.testing.assert_allclose(found, expected["features"], rtol=1e-5, atol=1e-6)


def test_the_variables_are_those_of_a_new_network(state):
    weights = convert_harnet(state, TINY)
    x = jax.ShapeDtypeStruct((1, 30, 3), "f4")
    new = jax.eval_shape(HarNet(TINY).init, jax.random.key(0), x)
    ours = {"params": weights.params, "batch_stats": weights.batch_stats}
    assert jax.tree.structure(ours) == jax.tree.structure(new)
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(new), strict=True):
        assert (one.shape, one.dtype) == (two.shape, two.dtype)


def test_heads_are_reported_and_counters_are_not(state):
    found = convert_harnet(state, TINY)
    assert found.config == TINY
    assert found.ignored == ("aot_h.linear1.bias", "aot_h.linear1.weight")


def test_a_backbone_alone_is_taken_too(state):
    short = "feature_extractor."
    alone = {k.removeprefix(short): v for k, v in state.items() if k.startswith(short)}
    found = convert_harnet(alone, TINY)
    assert found.ignored == ()
    whole = convert_harnet(state, TINY)
    jax.tree.map(np.testing.assert_array_equal, found.params, whole.params)


def change(state, **values):
    name = "feature_extractor.layer3.1.conv2.weight"
    kernel = "feature_extractor.layer1.4.kernel"
    kinds = {
        "missing": lambda: state.pop(name),
        "unknown": lambda: state.update({"feature_extractor.layer4.0.weight": 1}),
        "other head": lambda: state.update({"lstm.weight": np.zeros(1)}),
        "shape": lambda: state.update({name: state[name][:, :1]}),
        "not finite": lambda: state.update({name: state[name] * np.nan}),
        "blur": lambda: state.update({kernel: state[kernel][..., ::-1] * 2}),
        "blur's shape": lambda: state.update({kernel: state[kernel][:1]}),
    }
    kinds[values["kind"]]()


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", r"it lacks layer3.1.conv2.weight"),
        ("unknown", r"unexpectedly, layer4.0.weight"),
        ("other head", r"beside backbone and heads it has lstm.weight"),
        ("shape", r"layer3.1.conv2.weight has shape \(2, 1, 5\), expected \(2, 2, 5\)"),
        ("not finite", r"layer3.1.conv2.weight holds values that are no finite"),
        ("blur", r"layer1.4.kernel is another downsampling filter"),
        ("blur's shape", r"layer1.4.kernel has shape"),
    ],
)
def test_what_does_not_fit_is_named(state, kind, message):
    change(state, kind=kind)
    with pytest.raises(WeightsError, match=message):
        convert_harnet(state, TINY)


def test_blurs_may_be_absent_since_they_are_constants(state):
    kept = {k: v for k, v in state.items() if not k.endswith("kernel")}
    one, two = convert_harnet(kept, TINY), convert_harnet(state, TINY)
    jax.tree.map(np.testing.assert_array_equal, one.params, two.params)


def test_another_network_is_refused_with_a_few_names(state):
    with pytest.raises(
        WeightsError, match=r"it lacks layer1.2.* and \d+ more; it has, .* more$"
    ):
        convert_harnet(state)
    with pytest.raises(WeightsError, match=r"unexpectedly, encoder.weight"):
        convert_harnet({"encoder.weight": np.zeros(3)})
