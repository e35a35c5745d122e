import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses.center import center_loss, update_centres
from sigjax.losses.margin import fixed_scale, sub_cluster_adacos
from sigjax.models.mobilenet import MobileNetV2Config
from sigjax.models.section_classifier import SectionClassifier, SectionClassifierConfig
from sigjax.models.spectral_branches import SpectralBranchesConfig
from sigjax.signal.mel import MelConfig, log_mel
from sigjax.signal.mixup import mix
from sigjax.tasks.section_id import (
    SectionIdConfig,
    SectionIdentification,
    backbone,
    input_statistics,
)
from sigjax.train.optim import OptimConfig, make_optimizer
from sigjax.train.step import make_init, make_train_step

MEL = MelConfig(rate_hz=1000, n_fft=64, hop=32, n_mels=8)
MODEL = SectionClassifierConfig(
    classes=3,
    frames=9,
    mels=8,
    embedding=4,
    stem=4,
    expansion=(2,),
    channels=4,
    blocks=(1,),
    wide=8,
    linear_branch="none",
    dropout=0.0,
)
CONFIG = SectionIdConfig(mel=MEL, clip_s=0.256, centre_weight=0.1, mixup=0.0)
STATISTICS = {"mean": np.float32(-30), "std": np.float32(15)}


def clips(rows=6, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "wave": jnp.asarray(rng.normal(0, 3000, (rows, 256)), jnp.int16),
        "label": jnp.asarray(np.arange(rows) % 3, jnp.int32),
    }


def drawn(task, seed=0):
    """Variables of a task, far from those of a new one; no compilation."""
    shapes = jax.eval_shape(task.init, jax.random.key(0), clips())
    rng = np.random.default_rng(seed)

    def draw(leaf):
        return jnp.asarray(rng.uniform(0.2, 1, leaf.shape), jnp.float32)

    variables = jax.tree.map(draw, shapes)
    if "statistics" in variables:
        given = {k: jnp.asarray(v) for k, v in STATISTICS.items()}
        variables = {**variables, "statistics": given}
    return variables


@functools.cache
def softmax_task():
    task = SectionIdentification(MODEL, CONFIG)
    return task, drawn(task), jax.jit(task.loss)


def plain(variables, wave, train=False):
    """What the model makes of waves, without the task."""
    x = log_mel(wave / 32768, MEL)
    x = (x - STATISTICS["mean"]) / STATISTICS["std"]
    return SectionClassifier(MODEL).apply(
        of_model(variables), x, train, mutable=["batch_stats"]
    )


_plain = jax.jit(plain, static_argnums=2)


def plainly(variables, wave, train):
    """`plain`, compiled once for all tests."""
    return _plain(of_model(variables), wave.astype(jnp.float32), train)


def of_model(variables):
    params = variables["params"]
    return {
        "params": params.get("model", params),
        "batch_stats": variables["batch_stats"],
    }


def test_the_loss_is_cross_entropy_and_weighted_center_loss_and_centres_move():
    task, variables, loss = softmax_task()
    batch = clips()
    found = loss(variables, batch, jax.random.key(0))
    out, changed = plainly(variables, batch["wave"], True)
    log_p = np.asarray(jax.nn.log_softmax(out.logits))
    entropy = -log_p[np.arange(6), np.asarray(batch["label"])]
    centres = variables["centres"]["value"]
    pull = center_loss(out.embedding, centres, batch["label"])
    np.testing.assert_allclose(found.metrics["cross_entropy"], entropy, rtol=1e-4)
    np.testing.assert_allclose(found.metrics["center"], pull, rtol=1e-4)
    np.testing.assert_allclose(found.loss, entropy + 0.1 * np.asarray(pull), rtol=1e-4)
    state = found.model_state
    assert set(state) == {"batch_stats", "statistics", "centres"}
    expected = update_centres(
        centres, out.embedding, batch["label"], jnp.ones(6), CONFIG.centre_rate
    )
    np.testing.assert_allclose(state["centres"]["value"], expected, rtol=1e-4)
    assert np.abs(expected - centres).max() > 0.01
    for one, two in zip(
        jax.tree.leaves(state["batch_stats"]),
        jax.tree.leaves(changed["batch_stats"]),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_embedding_and_evaluation_are_the_models_with_running_statistics():
    task, variables, _ = softmax_task()
    batch = clips()
    out, _ = plainly(variables, batch["wave"], False)
    embed = jax.jit(task.embed)
    found = embed(variables, batch["wave"])
    log_p = jax.nn.log_softmax(out.logits)
    np.testing.assert_allclose(found.embedding, out.embedding, rtol=1e-4)
    np.testing.assert_allclose(found.logits, log_p, rtol=1e-4)
    # Samples in units of full scale are the same samples.
    scaled = embed(variables, batch["wave"].astype(jnp.float32) / 32768)
    np.testing.assert_array_equal(scaled.embedding, found.embedding)
    figures = jax.jit(task.evaluate)(variables, batch, jax.random.key(0))
    right = np.asarray(log_p.argmax(-1) == batch["label"])
    np.testing.assert_array_equal(figures["accuracy"], right)
    pull = center_loss(out.embedding, variables["centres"]["value"], batch["label"])
    entropy = -np.asarray(log_p)[np.arange(6), np.asarray(batch["label"])]
    np.testing.assert_allclose(figures["loss"], entropy + 0.1 * pull, rtol=1e-4)


def test_mixup_mixes_waves_and_labels_by_shares():
    wave = jax.random.normal(jax.random.key(0), (400, 5))
    label = jnp.arange(400, dtype=jnp.int32)
    mixed = jax.jit(functools.partial(mix, probability=0.5, alpha=1.0))(
        jax.random.key(1), wave, label
    )
    share = np.asarray(mixed.share)[:, None]
    own, other = np.asarray(wave), np.asarray(wave)[np.asarray(mixed.other)]
    np.testing.assert_allclose(mixed.wave, share * own + (1 - share) * other, atol=1e-6)
    chosen = share[:, 0] < 1
    assert 0.4 < chosen.mean() < 0.6
    np.testing.assert_array_equal(mixed.wave[~chosen], own[~chosen])
    # Beta(1, 1) is uniform.
    quarters = np.histogram(share[chosen], 4, (0, 1))[0] / chosen.sum()
    assert np.abs(quarters - 0.25).max() < 0.1
    assert sorted(np.asarray(mixed.other)) == list(range(400))
    # With a large alpha shares are near one half.
    skewed = functools.partial(mix, probability=1.0, alpha=50.0)
    share = jax.jit(skewed)(jax.random.key(1), wave, label).share
    assert np.abs(np.asarray(share) - 0.5).max() < 0.3


def test_a_mixed_example_has_the_loss_of_both_classes_by_their_shares():
    task, variables, _ = softmax_task()
    mixing = SectionIdentification(MODEL, dataclasses.replace(CONFIG, mixup=1.0))
    batch, key = clips(), jax.random.key(3)
    found = jax.jit(mixing.loss)(variables, batch, key)
    wave = batch["wave"].astype(jnp.float32) / 32768
    mixed = mix(
        jax.random.split(key, 3)[0], wave, batch["label"], probability=1.0, alpha=1.0
    )
    out, _ = plainly(variables, mixed.wave * 32768, True)
    log_p = np.asarray(jax.nn.log_softmax(out.logits))
    share, rows = np.asarray(mixed.share), np.arange(6)
    centres, pairs = variables["centres"]["value"], []
    for label in (batch["label"], mixed.other):
        pull = np.asarray(center_loss(out.embedding, centres, label))
        pairs.append((-log_p[rows, np.asarray(label)], pull))
    (entropy, pull), (other_entropy, other_pull) = pairs
    entropy = share * entropy + (1 - share) * other_entropy
    pull = share * pull + (1 - share) * other_pull
    np.testing.assert_allclose(found.loss, entropy + 0.1 * pull, rtol=2e-4)
    moved = update_centres(
        centres,
        jnp.concatenate([out.embedding] * 2),
        jnp.concatenate([batch["label"], mixed.other]),
        jnp.concatenate([mixed.share, 1 - mixed.share]),
        CONFIG.centre_rate,
    )
    state = found.model_state
    np.testing.assert_allclose(state["centres"]["value"], moved, rtol=2e-4)


@pytest.mark.parametrize("trained", [True, False])
def test_adacos_stands_on_the_embedding(trained):
    config = dataclasses.replace(
        CONFIG,
        loss="adacos",
        subcentres=2,
        train_centres=trained,
        centre_weight=0.0,
        scale="fixed" if trained else "dynamic",
    )
    task = SectionIdentification(MODEL, config)
    variables = drawn(task)
    assert "head" not in variables["params"]["model"]
    own = variables["params"] if trained else variables
    assert own["margin"]["centres"].shape == (3, 2, 4)
    batch = clips()
    if not trained:
        found = jax.jit(task.loss)(variables, batch, jax.random.key(0))
        before, now = variables["margin"], found.model_state["margin"]
        np.testing.assert_array_equal(before["centres"], now["centres"])
        assert before["scale"] != now["scale"] and np.isfinite(now["scale"])
        return
    found = jax.eval_shape(task.loss, variables, batch, jax.random.key(0))
    assert "margin" not in found.model_state
    figures = jax.jit(task.evaluate)(variables, batch, jax.random.key(0))
    head = softmax_task()[1]["params"]["model"]["head"]
    model = {"model": {**variables["params"]["model"], "head": head}}
    out, _ = plainly({**variables, "params": model}, batch["wave"], False)
    expected = sub_cluster_adacos(
        out.embedding,
        own["margin"]["centres"],
        jax.nn.one_hot(batch["label"], 3),
        fixed_scale(3, 2),
    )
    np.testing.assert_allclose(figures["loss"], expected, rtol=1e-4)


def optimizer():
    config = OptimConfig(name="adamw", learning_rate=1e-2, schedule="constant")
    return make_optimizer(config, steps_per_epoch=1, total_steps=1)


def test_all_collections_pass_through_accumulated_steps():
    config = dataclasses.replace(
        CONFIG, loss="adacos", subcentres=2, train_centres=False, scale="dynamic"
    )
    task, batch = SectionIdentification(MODEL, config), clips()
    init = make_init(task, optimizer())
    state = jax.eval_shape(init, jax.random.key(0), batch, {"statistics": STATISTICS})
    assert set(state.model_state) == {
        "batch_stats",
        "statistics",
        "centres",
        "margin",
    }
    step = make_train_step(task, optimizer(), accumulation=2)
    after, metrics = jax.eval_shape(step, state, batch)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), after
    )
    assert {"loss", "center", "cross_entropy"} <= set(metrics)


def test_what_is_not_learnt_starts_as_it_should():
    config = dataclasses.replace(CONFIG, loss="adacos", subcentres=2, scale="dynamic")
    task = SectionIdentification(MODEL, config)
    init = make_init(task, optimizer())

    @jax.jit  # of which only what is returned is compiled
    def collections(key):
        state = init(key, clips(), {"statistics": STATISTICS}).model_state
        return {k: state[k] for k in ("statistics", "margin", "centres")}

    state = collections(jax.random.key(0))
    assert float(state["statistics"]["mean"]) == -30
    assert state["margin"]["scale"] == pytest.approx(fixed_scale(3, 2))
    assert not np.asarray(state["centres"]["value"]).any()


def test_another_classifier_starts_from_all_but_the_heads():
    _, variables, _ = softmax_task()
    given = backbone(variables)
    other = SectionIdentification(dataclasses.replace(MODEL, classes=7), CONFIG)
    init = make_init(other, optimizer())

    @jax.jit  # of which only what is returned is compiled
    def started(given):
        state = init(jax.random.key(0), clips(), given)
        model = state.params["model"]
        return (
            model["head"]["kernel"],
            model["wide"]["kernel"],
            state.model_state["batch_stats"]["wide_norm"]["mean"],
            state.model_state["statistics"]["std"],
        )

    head, wide, mean, std = started(given)
    assert head.shape == (4, 7) and float(std) == 15
    np.testing.assert_array_equal(wide, variables["params"]["model"]["wide"]["kernel"])
    np.testing.assert_array_equal(mean, variables["batch_stats"]["wide_norm"]["mean"])


def test_patches_of_a_clip_are_averaged_where_scores_are_not():
    model = dataclasses.replace(MODEL, frames=4)
    config = dataclasses.replace(CONFIG, patch_hop=2, centre_weight=0.0)
    task = SectionIdentification(model, config)
    assert task.patches == 3
    variables, batch = drawn(task), clips(2)
    out = jax.jit(task.embed)(variables, batch["wave"])
    assert (out.embedding.shape, out.logits.shape) == ((2, 4), (2, 3, 3))
    x = log_mel(batch["wave"].astype(jnp.float32) / 32768, MEL)
    x = (x - STATISTICS["mean"]) / STATISTICS["std"]
    patches = jnp.concatenate([x[:, i : i + 4] for i in (0, 2, 4)])
    each = jax.jit(SectionClassifier(model).apply)(of_model(variables), patches)
    expected = each.embedding.reshape(3, 2, 4)
    np.testing.assert_allclose(out.embedding, expected.mean(0), rtol=1e-4)
    log_p = jax.nn.log_softmax(each.logits).reshape(3, 2, 3)
    np.testing.assert_allclose(out.logits, log_p.swapaxes(0, 1), rtol=1e-4)
    drawing = SectionIdentification(
        model, dataclasses.replace(config, training_patches=2)
    )
    loss = jax.eval_shape(drawing.loss, variables, batch, jax.random.key(0)).loss
    assert loss.shape == (2,)
    # Those drawn are patches of the clip, and not always the same.
    few = [drawing._patched(x, jax.random.key(k)) for k in range(3)]
    assert few[0].shape == (2, 2, 4, 8) and np.abs(few[0] - few[1]).max() > 0
    whole = np.asarray(task._patched(x, None))
    for one in np.asarray(few[2])[1]:
        assert any(np.array_equal(one, patch) for patch in whole[1])


def test_the_statistics_of_the_input_are_those_of_all_clips():
    batches = [dict(clips(rows, seed)) for rows, seed in ((4, 0), (4, 1), (3, 2))]
    batches[1]["wave"] = (batches[1]["wave"] // 50).astype(jnp.int16)
    # Rows of padding do not count, whatever they hold.
    batches[2]["weight"] = np.array([1, 1, 0], np.float32)
    used = [b["wave"][: 2 if "weight" in b else None] for b in batches]
    every = np.concatenate(
        [np.asarray(log_mel(w.astype(jnp.float32) / 32768, MEL)) for w in used]
    ).astype(np.float64)
    found = input_statistics(iter(batches), MEL)
    assert found["mean"] == pytest.approx(every.mean(), rel=1e-5)
    assert found["std"] == pytest.approx(every.std(), rel=1e-5)
    assert {v.dtype for v in found.values()} == {np.dtype("float32")}
    silent = {"wave": np.zeros((4, 256), np.int16)}
    for nothing in ([], [silent]):
        with pytest.raises(ValueError, match="not silence alone"):
            input_statistics(nothing, MEL)


def test_wave_models_have_no_spectrogram_to_normalise():
    model = SpectralBranchesConfig(
        classes=3, rate_hz=1000, clip_s=1.5, n_fft=(76,), spectrum=False, f_min_hz=25.0
    )
    config = SectionIdConfig(clip_s=1.5, loss="adacos", mixup=1.0)
    task = SectionIdentification(model, config)
    batch = {
        "wave": jax.ShapeDtypeStruct((2, 1500), "i2"),
        "label": jax.ShapeDtypeStruct((2,), "i4"),
    }
    variables = jax.eval_shape(task.init, jax.random.key(0), batch)
    assert set(variables) == {"params", "batch_stats"}
    key = jax.eval_shape(lambda: jax.random.key(0))
    assert jax.eval_shape(task.loss, variables, batch, key).loss.shape == (2,)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (MODEL, {"clip_s": 0.3}, "10 frames, but model.frames is 9"),
        (MODEL, {"mel": None}, "needs task.mel"),
        (MODEL, {"mel": dataclasses.replace(MEL, n_mels=7)}, "n_mels 7"),
        (MODEL, {"patch_hop": 2, "clip_s": 0.1}, "fewer than a patch"),
        (MODEL, {"loss": "adacos", "classes": 1, "subcentres": 2}, "three centres"),
        (MODEL, {"classes": 0}, "needs classes"),
        (SpectralBranchesConfig(classes=3), {"clip_s": 10.0}, "neither mel"),
        (SpectralBranchesConfig(classes=3), {"mel": None}, "model.clip_s is 10"),
        (MobileNetV2Config(classes=3), {}, "model.mels is 128, task.mel.n_mels 8"),
    ],
)
def test_models_and_clips_that_do_not_fit_are_refused(model, changes, message):
    if "classes" in changes:
        changes = dict(changes)
        model = dataclasses.replace(model, classes=changes.pop("classes"))
    with pytest.raises(ValueError, match=message):
        SectionIdentification(model, dataclasses.replace(CONFIG, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 1.5}, "mixup"),
        ({"centre_weight": -1.0}, "centre_weight"),
        ({"training_patches": 2}, "patch_hop"),
    ],
)
def test_values_without_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_clips_of_another_length_are_refused():
    task, variables, _ = softmax_task()
    with pytest.raises(ValueError, match="256 samples.*got 255.*cut them"):
        task.embed(variables, jnp.zeros((1, 255), jnp.int16))
