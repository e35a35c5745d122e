import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses.classification import class_weights, weighted_cross_entropy
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifierConfig
from sigjax.signal.rotation import random_rotations, rotation_matrix
from sigjax.tasks import classification
from sigjax.tasks.classification import (
    ClassificationConfig,
    HeadClassification,
    WindowClassification,
)

CONFIG = ClassificationConfig(
    rate_hz=10.0, channels=3, patch_s=1.0, label_s=2.0, augmentation="rotate"
)
MODEL = WindowClassifierConfig(
    patch_samples=10,
    channels=3,
    pool=2,
    head=HeadConfig(kind="linear", classes=3),
    mae=MaeConfig(patch_size=30, width=8, depth=1, num_heads=2, mlp_dim=16),
)
WEIGHT = np.array([0.5, 1.0, 2.0], np.float32)


def signals(rows=4, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "counts": jnp.asarray(rng.integers(-2000, 2000, (rows, 20 * labels, 3)), "i2"),
        "scale": jnp.full(rows, 1 / 2048, jnp.float32),
        "valid": jnp.full(rows, 20 * labels, jnp.int32),
        "label": jnp.asarray(rng.integers(-1, 3, (rows, labels)), jnp.int32),
        "seed": jnp.asarray(rng.integers(0, 2**32, rows), jnp.uint32),
    }


@functools.cache
def task_and_variables():
    task = WindowClassification(MODEL, CONFIG, WEIGHT)
    return task, jax.jit(task.init)(jax.random.key(0), signals())


def test_the_loss_is_eq_8_over_what_a_window_could_hold():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 3)).astype(np.float32)
    label = np.array([[0, 1, 2, -1, -1], [2, 2, -1, 0, 1]])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = [
        sum(-WEIGHT[y] * np.log(p[b, i, y]) for i, y in enumerate(row) if y >= 0) / 5
        for b, row in enumerate(label)
    ]
    found = classification.window_loss(
        jnp.asarray(logits), jnp.asarray(label), jnp.asarray(WEIGHT)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_label_weighs_the_same_whatever_window_it_is_in():
    logits = jax.random.normal(jax.random.key(0), (6, 3))
    label = jnp.array([0, 1, -1, 2, -1, -1])

    def loss(logits, rows):
        out = classification.window_loss(
            logits.reshape(rows, -1, 3), label.reshape(rows, -1), jnp.asarray(WEIGHT)
        )
        return out.mean()

    one, two = (jax.grad(loss)(logits, rows) for rows in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-7)
    assert np.abs(one[jnp.array([2, 4, 5])]).max() == 0


def test_inverse_prevalence_makes_each_class_weigh_alike():
    counts = np.array([90, 9, 1])
    weight = class_weights(counts)
    label = jnp.repeat(jnp.arange(3), jnp.asarray(counts))
    loss = weighted_cross_entropy(jnp.zeros((100, 3)), label, weight)
    totals = [float(loss[label == c].sum()) for c in range(3)]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)
    np.testing.assert_allclose(loss.mean(), np.log(3), rtol=1e-5)


def test_evaluation_sums_to_the_figures_of_all_labels():
    task, variables = task_and_variables()
    batch = signals(rows=8)
    means = jax.jit(task.evaluate)(variables, batch, jax.random.key(0))
    means = {k: np.asarray(v).mean(axis=0) for k, v in means.items()}
    assert means["confusion"].sum() * 8 == np.sum(np.asarray(batch["label"]) >= 0)
    figures = task.summarise(means)
    logits = jax.jit(task.model.apply)(
        variables, batch["counts"] / 2048, batch["valid"] // 20
    )
    hit = np.asarray(logits.argmax(-1) == batch["label"])
    counted = np.asarray(batch["label"]) >= 0
    recalls = [hit[np.asarray(batch["label"]) == c].mean() for c in range(3)]
    assert figures["accuracy"] == pytest.approx(hit[counted].mean())
    assert figures["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_augmentation_turns_training_windows_alone_and_by_their_own_seed():
    task, _ = task_and_variables()
    batch = signals()
    key = jax.random.key(3)
    still, _ = task.signal(batch, key, False)
    turned, _ = task.signal(batch, key, True)
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=-1), np.linalg.norm(still, axis=-1), rtol=1e-4
    )
    assert np.abs(turned - still).max() > 0.1
    reverse = {name: value[::-1] for name, value in batch.items()}
    np.testing.assert_array_equal(task.signal(reverse, key, True)[0], turned[::-1])


def test_rotations_are_rotations_and_point_everywhere():
    r = random_rotations(jax.random.key(0), jnp.arange(2000, dtype=jnp.uint32))
    unit = jnp.einsum("bij,bkj->bik", r, r)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(r), 1.0, atol=1e-5)
    np.testing.assert_allclose(r.mean(axis=0), 0.0, atol=0.06)
    quarter = rotation_matrix(jnp.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)]))
    np.testing.assert_allclose(quarter @ jnp.array([1.0, 0, 0]), [0, 1, 0], atol=1e-6)


def test_head_alone_equals_the_whole_model_on_its_tokens():
    task, variables = task_and_variables()
    batch = signals()
    x = batch["counts"] / 2048
    tokens = jax.jit(functools.partial(task.model.apply, method="encode"))(variables, x)
    head = HeadClassification(MODEL.head, WEIGHT)
    own = {"params": variables["params"]["head"]}
    tokened = {"tokens": tokens, "length": batch["valid"] // 20} | {
        "label": batch["label"]
    }
    key = jax.random.key(0)
    whole, alone = (
        task.evaluate(variables, batch, key),
        head.evaluate(own, tokened, key),
    )
    np.testing.assert_allclose(whole["loss"], alone["loss"], rtol=1e-5)
    np.testing.assert_array_equal(whole["confusion"], alone["confusion"])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"label_s": 2.5}, "label_s"), ({"patch_s": 0.25}, "patch_s")],
)
def test_lengths_that_do_not_divide_are_refused(change, message):
    lengths = {"rate_hz": 10.0, "channels": 3, "patch_s": 1.0, "label_s": 2.0}
    with pytest.raises(ValueError, match=message):
        ClassificationConfig(**lengths | change)
