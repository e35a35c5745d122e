"""Each clip by its own section's model; unknown ones by the nearest, and flagged."""

import json

import numpy as np
import pytest

from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.anomaly.per_section import Bank, PerSection
from sigjax.evals.anomaly.registry import make

PLACES = {("fan", "00"): 0, ("fan", "01"): 1, ("pump", "00"): 2, ("valve", "03"): 3}


def bank(seed=0, count=20, places=PLACES, target=3, told=True):
    """Sections along the axes of 5 dimensions; logits that tell them apart."""
    rng = np.random.default_rng(seed)
    machine, section = zip(*(key for key in places for _ in range(count)), strict=True)
    axis = np.repeat(list(places.values()), count)
    x = 6 * np.eye(5)[axis] + rng.normal(size=(len(axis), 5)) / 2
    domain = np.tile(
        np.repeat(["source", "target"], [count - target, target]), len(places)
    )
    return Bank(
        machine=machine,
        section=section,
        domain=domain,
        embedding=x,
        logits=x[:, :4],
        class_index=axis if told else None,
    )


def shuffled(clips, seed=0):
    order = np.random.default_rng(seed).permutation(len(clips))
    return clips.take(order), order


@pytest.mark.parametrize("name", ["knn", "mahalanobis", "gmm", "confidence"])
def test_every_clip_gets_the_score_of_its_own_sections_model(name):
    train, test = bank(), bank(1)
    mixed, order = shuffled(test)
    found = PerSection(name).fit(shuffled(train, 1)[0]).score(mixed)
    assert found.known.all()
    np.testing.assert_array_equal(found.machine, mixed.machine)
    np.testing.assert_array_equal(found.section, mixed.section)
    for (machine, section), axis in PLACES.items():
        rows = (test.machine == machine) & (test.section == section)
        name_of = {"name": name} | (
            {"class_index": axis} if name == "confidence" else {}
        )
        own = make(name_of)
        column = own.reads[0]
        learn, ask = train.take(rows).inputs[column], test.take(rows)
        own.fit(learn, train.take(rows).domains)
        expected = own.score(ask.inputs[column], ask.domains)
        np.testing.assert_allclose(found.score[np.argsort(order)][rows], expected)


def test_an_unknown_section_is_scored_by_the_nearest_of_its_machine_and_flagged():
    wrapper = PerSection("knn").fit(bank())
    strange = bank(1, places={("fan", "09"): 1, ("fan", "01"): 1})
    found = wrapper.score(strange)
    np.testing.assert_array_equal(found.known, strange.section == "01")
    assert set(found.section) == {"01"} and set(found.machine) == {"fan"}
    # The pump is nearer, but this is a fan.
    far = wrapper.score(bank(1, places={("fan", "09"): 2}))
    assert set(far.machine) == {"fan"} and not far.known.any()
    assert far.score.min() > found.score.max()


def test_an_unknown_machine_is_held_against_all():
    found = (
        PerSection("mahalanobis").fit(bank()).score(bank(1, places={("saw", "00"): 2}))
    )
    assert set(found.machine) == {"pump"} and not found.known.any()


@pytest.mark.parametrize("shift", [None, 0, 1])
def test_confidence_knows_the_class_of_each_section(shift):
    train = bank(told=shift is not None)
    expected = list(PLACES.values())
    if shift:
        # What is told stands, even where the network got the section wrong.
        train.class_index[:] = (train.class_index + shift) % 4
        expected = [(place + shift) % 4 for place in expected]
    wrapper = PerSection("confidence").fit(train)
    found = [int(m.state()["class_index"]) for m in wrapper.models.values()]
    assert found == expected
    fused = PerSection({"name": "min_z", "members": ["confidence", "knn"], "folds": 3})
    fused.fit(train)
    found = [int(m.state()["0/class_index"]) for m in fused.models.values()]
    assert found == expected


@pytest.mark.parametrize("name", ["knn", "min_z", "confidence"])
def test_the_wrapper_restores_bit_for_bit(name):
    members = {"members": ["confidence", "lof"], "folds": 3} if name == "min_z" else {}
    wrapper = PerSection({"name": name, **members}).fit(bank())
    description = json.loads(json.dumps(wrapper.description()))
    again = PerSection.from_state(description, wrapper.state())
    test = bank(1, places=PLACES | {("saw", "00"): 2})
    for one, other in zip(again.score(test), wrapper.score(test), strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(a.dtype.kind in "fiuU" for a in wrapper.state().values())
    with pytest.raises(BackendError, match="lacks section"):
        PerSection.from_state(description, {"machine": np.array(["fan"])})


@pytest.mark.parametrize("name", ["knn", "confidence", "min_z"])
def test_held_out_scores_are_like_those_of_new_normal_clips(name):
    members = {"members": ["confidence", "knn"], "folds": 3} if name == "min_z" else {}
    wrapper, train = PerSection({"name": name, **members}), bank(count=60)
    found = wrapper.held_out(train, folds=6)
    wrapper.fit(train)
    fresh, seen = wrapper.score(bank(1, 60)).score, wrapper.score(train).score
    assert np.isfinite(found).all()
    assert np.median(found) == pytest.approx(np.median(fresh), rel=0.3, abs=0.1)
    if name == "knn":
        assert seen.max() < 1e-12 < found.min()


def test_a_clip_alone_in_its_section_has_no_held_out_score():
    places = {("fan", "00"): 0, ("fan", "01"): 1}
    clips = bank(places=places).take(np.arange(21))
    found = PerSection("knn").held_out(clips, folds=None)
    assert np.flatnonzero(np.isnan(found)).tolist() == [20]


def test_one_model_for_each_machine_pools_its_sections():
    wrapper = PerSection("knn", scope="machine").fit(bank())
    assert list(wrapper.models) == [("fan", ""), ("pump", ""), ("valve", "")]
    found = wrapper.score(bank(1, places={("fan", "09"): 1}))
    assert found.known.all() and found.score.max() < 0.2
    with pytest.raises(ValueError, match="scope 'machine'"):
        PerSection("confidence", scope="machine")


def test_nan_clips_score_nan_even_where_the_section_is_unknown():
    test = bank(1, places={("fan", "09"): 1, ("fan", "00"): 0})
    test.embedding[[0, 25]] = np.nan
    found = PerSection("knn").fit(bank()).score(test)
    assert np.flatnonzero(np.isnan(found.score)).tolist() == [0, 25]


def test_errors_name_the_section_or_the_column():
    with pytest.raises(BackendError, match="5 of domain|shape"):
        Bank(section=["00"] * 4, domain=["source"] * 5, embedding=np.ones((4, 2)))
    with pytest.raises(BackendError, match="3 of embedding"):
        Bank(section=["00"] * 4, embedding=np.ones((3, 2)))
    with pytest.raises(BackendError, match="fan section 00: Knn reads embedding"):
        wanting = Bank(section=["00"], machine=["fan"], logits=np.ones((1, 2)))
        PerSection("knn").fit(wanting)
    spoilt = bank()
    spoilt.embedding[20:40] = np.nan
    with pytest.raises(BackendError, match="fan section 01: .*finite"):
        PerSection("knn").fit(spoilt)
    with pytest.raises(BackendError, match="class_index"):
        two = bank()
        two.class_index[0] = 3
        PerSection("confidence").fit(two)
    with pytest.raises(BackendError, match="fit first"):
        PerSection("knn").score(bank())
