"""A classifier's bundle: what goes in comes out, and stretches of any length."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sigjax
from sigjax import export
from sigjax.export import BundleError
from sigjax.inference.classifier import ClassifierModel
from sigjax.models.harnet import HarNet
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import Mae
from sigjax.models.window_classifier import WindowClassifier
from tests.inference import tiny

WINDOW, LABEL = 1800, 300


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny.write_bundle(tmp_path_factory.mktemp("classifier"), extra={"kappa": 1})


@pytest.fixture(scope="module")
def model(path) -> ClassifierModel:
    found = sigjax.load(path)
    assert isinstance(found, ClassifierModel)
    return found


def noise(samples, seed=0):
    """Changes from label window to label window."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(samples // 100 + 1, 3)).repeat(100, 0)[:samples]
    return (level + 0.1 * rng.normal(size=(samples, 3))).astype(np.float32)


def softmax(logits):
    e = np.exp(np.asarray(logits, np.float64))
    return e / e.sum(axis=-1, keepdims=True)


def test_a_bundle_says_what_it_is(model, path):
    assert model.labels == tiny.LABELS
    assert model.label_s == 10.0
    assert (model.label_samples, model.labels_per_window) == (300, 6)
    assert "-> [batch, samples / 300, 3]: sleep, sit, walk)" in repr(model)
    info = json.loads((path / "bundle.json").read_text())
    assert info["format"] == 2
    assert info["extra"] == {"kappa": 1}
    assert set(model.state) == {"statistics"}


def test_scores_are_the_modules(model):
    x = jnp.asarray(noise(2 * WINDOW).reshape(2, WINDOW, 3))
    variables = {"params": model.params, **model.state}
    direct = jax.jit(WindowClassifier(model.config).apply)(variables, x)
    np.testing.assert_allclose(model.logits(x), direct, atol=1e-5)
    assert model.tokens(x).shape == (2, 6, 16)
    assert np.ptp(softmax(direct).max(axis=-1)) > 0.1  # or no test here can fail


def test_padding_changes_nothing(model):
    x = noise(2 * WINDOW).reshape(2, WINDOW, 3)
    padded = x.copy()
    padded[1, 2 * LABEL :] = 7.0
    found = model.logits(padded, np.array([WINDOW, 2 * LABEL + 5]))
    np.testing.assert_allclose(found[0], model.logits(x)[0], atol=1e-5)
    alone = model.logits(x[1:, : 2 * LABEL])
    np.testing.assert_allclose(found[1, :2], alone[0], atol=1e-5)


def test_a_stretch_is_cut_into_windows_that_follow_each_other(model):
    x = noise(2 * WINDOW + 2 * LABEL + 100)
    found = model.classify(x, batch_size=2)
    assert found.shape == (14, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    cut = [x[:WINDOW], x[WINDOW : 2 * WINDOW], x[2 * LABEL + WINDOW :][:WINDOW]]
    apart = softmax(model.logits(np.stack(cut)))
    np.testing.assert_allclose(found[:6], apart[0], atol=1e-5)
    # The last window reaches back over four label windows of the second.
    np.testing.assert_allclose(found[6:8], apart[1, :2], atol=1e-5)
    both = (apart[1, 2:] + apart[2, :4]) / 2
    np.testing.assert_allclose(found[8:12], both, atol=1e-5)
    np.testing.assert_allclose(found[12:], apart[2, 4:], atol=1e-5)


def test_windows_that_overlap_are_averaged(model):
    x = noise(WINDOW + LABEL)
    apart = softmax(model.logits(np.stack([x[:WINDOW], x[LABEL:]])))
    found = model.classify(x, overlap=5 / 6)
    np.testing.assert_allclose(found[0], apart[0, 0], atol=1e-5)
    np.testing.assert_allclose(found[1:6], (apart[0, 1:] + apart[1, :5]) / 2, atol=1e-5)
    assert np.abs(found[:6] - apart[0]).max() > 1e-3


def test_a_stretch_shorter_than_a_window_is_classified_as_it_is(model):
    x = noise(2 * LABEL + 299)
    expected = softmax(model.logits(x[None, : 2 * LABEL]))[0]
    np.testing.assert_allclose(model.classify(x), expected, atol=1e-5)
    assert model.classify(x[:299]).shape == (0, 3)


def test_stretches_do_not_see_each_other_and_batches_do_not_matter(model):
    lengths = (WINDOW, LABEL, 0, 3 * WINDOW + 50, 299, 2 * LABEL)
    stretches = [noise(n, seed) for seed, n in enumerate(lengths)]
    steps = []
    found = model.classify_all(
        stretches, batch_size=4, progress=lambda *step: steps.append(step)
    )
    assert [len(f) for f in found] == [n // LABEL for n in lengths]
    assert steps == [(4, 6), (6, 6)]
    for stretch, some in zip(stretches, found, strict=True):
        np.testing.assert_allclose(
            some, model.classify(stretch, batch_size=1), atol=1e-5
        )


def test_everything_shares_one_compiled_program(path):
    model = sigjax.load(path)
    assert isinstance(model, ClassifierModel)
    stretches = [noise(n) for n in (WINDOW, 4 * WINDOW + 17, LABEL)]
    model.classify_all(stretches, batch_size=2)
    assert model._probability._cache_size() == 1


@pytest.mark.parametrize(
    ("encoder", "head"),
    [
        ({"mae": tiny.mae_config(300)}, HeadConfig(kind="lstm", classes=3, hidden=8)),
        ({"mae": None, "harnet": tiny.harnet_config()}, None),
    ],
    ids=["mae, lstm", "harnet, mlp"],
)
def test_every_encoder_and_head_comes_back(tmp_path, encoder, head):
    head = head or HeadConfig(kind="mlp", classes=3, hidden=8)
    config = tiny.classifier_config(patch_samples=300, pool=1, head=head, **encoder)
    signal = tiny.signal(patch_s=10.0)
    model = sigjax.load(tiny.write_bundle(tmp_path, config, signal=signal))
    assert isinstance(model, ClassifierModel)
    assert model.config == config
    x = noise(WINDOW + 2 * LABEL)
    found = model.classify(x)
    expected = softmax(model.logits(x[None, 2 * LABEL :]))[0]
    np.testing.assert_allclose(found[-2:], expected[-2:], atol=1e-5)


def test_a_replaced_bundle_keeps_nothing_of_the_former(tmp_path):
    tiny.write_bundle(tmp_path)
    head = HeadConfig(kind="linear", classes=3)
    tiny.write_bundle(tmp_path, tiny.classifier_config(head=head))
    model = sigjax.load(tmp_path)
    assert not (tmp_path / "state").exists()
    assert isinstance(model, ClassifierModel) and model.state == {}


def test_what_does_not_fit_is_refused(model):
    x = np.zeros((2, WINDOW, 3), np.float32)
    with pytest.raises(BundleError, match=r"expected \[batch, samples, 3\]"):
        model.logits(x[..., :2])
    with pytest.raises(BundleError, match="a multiple of 300"):
        model.logits(x[:, :-1])
    with pytest.raises(BundleError, match="at least 300, one label window"):
        model.logits(x, np.array([1800, 299]))
    with pytest.raises(BundleError, match=r"expected \[samples, 3\], got \(1800, 2\)"):
        model.classify(x[0, :, :2])
    with pytest.raises(ValueError, match="overlap="):
        model.classify(x[0], overlap=1.0)


def changed(**changes):
    return {"signal": dataclasses.asdict(tiny.signal(**changes))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["a", "b"]}, "names 2 labels but its head gives 3 scores"),
        (changed(label_s=5.0), "gives a label every 10 s"),
        (changed(label_s=None), "label_s=None"),
        (changed(rate_hz=50.0), "gives a label every 6 s"),
        (changed(channels=6), "has 6 channels, its model takes 3"),
        (changed(window_s=5.0), "holds no label window"),
    ],
)
def test_bundles_whose_parts_do_not_fit_are_refused(path, tmp_path, changes, message):
    bundle = tiny.edited(path, tmp_path / "bundle", **changes)
    with pytest.raises(BundleError, match=message):
        sigjax.load(bundle)


def test_a_classifier_without_labels_is_not_written(tmp_path):
    with pytest.raises(BundleError, match="needs its labels"):
        tiny.write_bundle(tmp_path / "bundle", labels=None)
    assert not (tmp_path / "bundle").exists()


def test_preprocessing_at_another_rate_is_refused(path, tmp_path):
    other = {**tiny.PREPROCESSING, "rate_hz": 50.0}
    model = sigjax.load(tiny.edited(path, tmp_path / "other", preprocessing=other))
    assert isinstance(model, ClassifierModel)
    with pytest.raises(BundleError, match="gives 50 Hz but its model takes 30 Hz"):
        model.prepare(tmp_path / "any.cwa")
    model = sigjax.load(tiny.edited(path, tmp_path / "none", preprocessing={}))
    assert isinstance(model, ClassifierModel)
    with pytest.raises(BundleError, match="does not say how"):
        model.prepare(tmp_path / "any.cwa")


def test_harnet_comes_back(tmp_path):
    config = tiny.harnet_config()
    x = jnp.asarray(noise(600).reshape(2, 300, 3))
    variables = tiny.random_variables(HarNet(config), x)
    export.save(
        tmp_path,
        model="harnet10",
        params=variables["params"],
        state={"batch_stats": variables["batch_stats"]},
        model_config=config,
        signal=tiny.signal(window_s=10.0, patch_s=10.0, label_s=None),
        preprocessing={},
        source_run={},
    )
    model = sigjax.load(tmp_path)
    assert isinstance(model, export.HarNetModel)
    np.testing.assert_allclose(
        model.apply(x), jax.jit(HarNet(config).apply)(variables, x), atol=1e-5
    )
    assert "[batch, 300, 3] in g at 30 Hz -> [batch, 8]" in repr(model)
    with pytest.raises(BundleError, match=r"expected \[batch, 300, 3\]"):
        model.apply(x[:, :299])


def test_bundles_of_the_first_format_still_load(tmp_path):
    config = tiny.mae_config()
    params = tiny.random_variables(Mae(config), jnp.zeros((1, 2, 450)))
    export.save(
        tmp_path,
        model="mae",
        params=params["params"],
        model_config=config,
        signal=tiny.signal(label_s=None),
        preprocessing=tiny.PREPROCESSING,
        source_run={},
    )
    info = json.loads((tmp_path / "bundle.json").read_text())
    del info["extra"], info["signal"]["label_s"]
    (tmp_path / "bundle.json").write_text(json.dumps({**info, "format": 1}))
    model = sigjax.load(tmp_path)
    assert isinstance(model, export.MaeModel)
    assert model.signal.label_s is None
    assert model.apply(noise(300)[None]).shape == (1, 2, 16)
