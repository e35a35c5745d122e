"""What every back-end keeps: one suite for all of them."""

import functools
import io
import json

import numpy as np
import pytest

from sigjax.evals.anomaly.backend import Backend, BackendError
from sigjax.evals.anomaly.registry import (
    BACKENDS,
    backend_of,
    configure,
    describe,
    make,
    restore,
)

from .cases import CASES, WIDTH, build, clips, given

every = pytest.mark.parametrize("case", CASES)
CLOSE = {"rtol": 1e-8, "atol": 1e-8}


def fitted(case, x, domain):
    backend = build(case)
    return backend.fit(given(backend, x), domain)


@functools.cache
def usual(case):
    """Fitted once: scoring changes nothing."""
    return fitted(case, *clips())


def scores(backend, x, domain=None):
    return backend.score(given(backend, x), domain)


def test_every_back_end_is_among_the_cases():
    assert {case.split()[0] for case in CASES} == set(BACKENDS)
    assert all(isinstance(build(case), Backend) for case in CASES)


@every
def test_scores_are_one_finite_float64_per_clip(case):
    backend = usual(case)
    x, domain = clips(10, 2, seed=1)
    score = scores(backend, x, domain)
    assert score.dtype == np.float64 and score.shape == (12,)
    assert np.isfinite(score).all()
    assert scores(backend, x[:0]).shape == (0,)


@every
def test_a_clip_that_moves_away_scores_higher(case):
    backend = usual(case)
    x = np.zeros((5, WIDTH))
    x[:, 0] = 10
    x[:, 1] = [4, 8, 16, 32, 64]
    assert (np.diff(scores(backend, x)) > 0).all(), scores(backend, x)


@every
def test_clips_unlike_training_score_above_held_out_normal_ones(case):
    backend = usual(case)
    normal, _ = clips(50, 0, seed=2)
    odd = normal.copy()
    odd[:, 1] += 12
    assert np.median(scores(backend, odd)) > scores(backend, normal).max()


@every
def test_a_state_restores_bit_for_bit_through_a_file_and_json(case):
    backend = usual(case)
    x, domain = clips(20, 4, seed=1)
    file = io.BytesIO()
    np.savez(file, **{k.replace("/", "|"): v for k, v in backend.state().items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        state = {name.replace("|", "/"): arrays[name] for name in arrays.files}
    again = restore(json.loads(json.dumps(describe(backend.config))), state)
    assert again.config == backend.config
    np.testing.assert_array_equal(scores(again, x, domain), scores(backend, x, domain))
    assert set(again.state()) == set(backend.state())


@every
def test_a_state_that_lacks_an_array_is_named(case):
    backend = usual(case)
    state = backend.state()
    for name in state:
        if name == "rows":  # How many residuals were summed: told, not needed.
            continue
        rest = {k: v for k, v in state.items() if k != name}
        with pytest.raises(BackendError, match=name.split("/")[-1]):
            restore(describe(backend.config), rest)


@every
def test_the_order_of_training_clips_does_not_matter(case):
    x, domain = clips()
    order = np.random.default_rng(3).permutation(len(x))
    test, _ = clips(20, 4, seed=1)
    one, other = usual(case), fitted(case, x[order], domain[order])
    np.testing.assert_allclose(scores(one, test), scores(other, test), **CLOSE)


@every
def test_a_clip_scores_alike_in_any_batch(case):
    backend = usual(case)
    x, domain = clips(20, 4, seed=1)
    alone = [scores(backend, x[i : i + 1], domain[i : i + 1])[0] for i in range(len(x))]
    np.testing.assert_allclose(alone, scores(backend, x, domain), **CLOSE)
    twice = scores(backend, np.concatenate([x, x[::-1]]), [*domain, *domain[::-1]])
    np.testing.assert_allclose(twice[len(x) :][::-1], twice[: len(x)], **CLOSE)


@every
def test_float32_input_is_scored_in_float64(case):
    x, domain = clips()
    x = x.astype(np.float32)
    test = clips(20, 4, seed=1)[0].astype(np.float32)
    single = scores(fitted(case, x, domain), test)
    double = fitted(case, x.astype(float), domain)
    # The residuals of this suite are rounded to float32 when they are made.
    close = {"rtol": 1e-4} if "residual" in double.reads else CLOSE
    np.testing.assert_allclose(single, scores(double, test.astype(float)), **close)


@every
def test_unknown_domains_are_those_of_none(case):
    backend = usual(case)
    x, _ = clips(10, 2, seed=1)
    unknown = scores(backend, x, [""] * len(x))
    np.testing.assert_array_equal(unknown, scores(backend, x))


@every
def test_a_nan_row_scores_nan_and_changes_no_other(case):
    backend = usual(case)
    test, _ = clips(10, 2, seed=1)
    spoilt = test.copy()
    spoilt[3, 5], spoilt[7, 0] = np.nan, np.inf
    score, whole = scores(backend, spoilt), scores(backend, test)
    bad = np.isin(np.arange(len(test)), [3, 7])
    assert np.isnan(score[bad]).all()
    np.testing.assert_allclose(score[~bad], whole[~bad], **CLOSE)


@every
def test_nan_training_rows_are_left_out_and_counted(case):
    x, domain = clips()
    test, _ = clips(10, 2, seed=1)
    bad = np.full((2, WIDTH), np.nan)
    more = fitted(case, np.concatenate([bad, x]), ["source", "target", *domain])
    found, expected = scores(more, test), scores(usual(case), test)
    np.testing.assert_array_equal(found, expected)
    state = more.state()
    counts = [v for k, v in state.items() if k.split("/")[-1] == "left_out"]
    assert counts and all(int(count) == 2 for count in counts)


SMALL = {
    "one clip": (1, 0),
    "one source, one target": (1, 1),
    "one target clip": (30, 1),
    "no target clips": (30, 0),
    "no source clips": (0, 5),
    "two clips": (2, 0),
    "fewer clips than k": (3, 2),
}


@every
@pytest.mark.parametrize("size", SMALL)
def test_few_clips_still_give_finite_ordered_scores(case, size):
    source, target = SMALL[size]
    x, domain = clips(source, target)
    # With one clip there is no class to learn, no norm to deviate from.
    backend = fitted(case, x, domain)
    far = np.zeros((3, WIDTH))
    far[:, 0] = 10
    far[:, 1] = [30, 90, 270]
    for names in (None, ["target"] * 3, ["source"] * 3):
        score = scores(backend, far, names)
        assert np.isfinite(score).all()
        assert (np.diff(score) > 0).all(), score


@every
@pytest.mark.parametrize("value", ["constant", "zero", "pairs"])
def test_equal_training_clips_still_give_finite_ordered_scores(case, value):
    x, domain = clips(20, 4)
    if value == "pairs":
        # The same files copied: their local density is infinite.
        x = np.concatenate([x, x, x])
        domain = np.concatenate([domain] * 3)
    else:
        x = np.zeros_like(x)
        x[:, 0] = 10.0 * (value == "constant")
    backend = fitted(case, x, domain)
    far = np.zeros((3, WIDTH))
    far[:, 0] = 10
    far[:, 1] = [30, 90, 270]
    score = scores(backend, far)
    assert np.isfinite(score).all()
    if value != "zero" or "one_number" in case:
        assert (np.diff(score) > 0).all(), score
    same = scores(backend, x[:1])
    assert np.isfinite(same).all() and same[0] <= score.min()


@every
def test_what_cannot_be_used_is_an_error_that_says_why(case):
    x, domain = clips()
    backend = build(case)
    with pytest.raises(BackendError, match="fit first"):
        scores(backend, x)
    with pytest.raises(BackendError, match="fit first"):
        backend.state()
    with pytest.raises(BackendError, match="finite"):
        fitted(case, np.full_like(x, np.nan), domain)
    with pytest.raises(BackendError, match="rank"):
        backend.fit(wrong_rank(given(backend, x)), domain)
    with pytest.raises(BackendError, match="domain must be"):
        fitted(case, x, np.full(len(x), "Target"))
    with pytest.raises(BackendError, match="shape"):
        fitted(case, x, domain[:-1])
    with pytest.raises(BackendError, match="width"):
        usual(case).score(twice_as_wide(given(backend, x)))


def wrong_rank(inputs):
    if isinstance(inputs, dict):
        return {name: wrong_rank(array) for name, array in inputs.items()}
    return inputs[..., 0] if inputs.ndim == 2 else inputs[:, 0]


def twice_as_wide(inputs):
    if isinstance(inputs, dict):
        return {name: twice_as_wide(array) for name, array in inputs.items()}
    return np.concatenate([inputs, inputs], axis=-1)


def test_descriptions_name_what_is_wrong():
    with pytest.raises(ValueError, match="no back-end 'kNN'"):
        make("kNN")
    with pytest.raises(ValueError, match="has no neighbours"):
        make({"name": "knn", "neighbours": 2})
    with pytest.raises(ValueError, match="k must be"):
        make({"name": "knn", "k": 0})
    with pytest.raises(ValueError, match="config of no back-end"):
        backend_of("knn")
    assert configure("knn") == configure({"name": "knn", "k": 1})
