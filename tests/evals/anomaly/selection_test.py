"""A choice sees development sections alone, and what it would cost is told apart."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sigjax.evals.anomaly.selection import (
    ALL,
    Figures,
    ScoredClips,
    SelectionError,
    measure,
    oracle,
    report,
    rows,
    select,
    table,
)


def auc(clips):
    return roc_auc_score(clips.label, clips.score)


def figures(side, value, section="00"):
    return Figures(
        side=side,
        name="AUC",
        sections=frozenset((machine, section) for machine in value),
        value=value,
    )


DEV = figures(
    "development", {"fan": {"knn": 0.9, "gmm": 0.8}, "pump": {"knn": 0.6, "gmm": 0.7}}
)
EVAL = figures(
    "evaluation",
    {"fan": {"knn": 0.5, "gmm": 0.8}, "pump": {"knn": 0.6, "gmm": 0.75}},
    "03",
)


def test_the_choice_is_made_on_one_side_and_read_on_the_other():
    choice = select(DEV)
    assert choice.candidate == {"fan": "knn", "pump": "gmm"}
    found = report(choice, EVAL)
    assert found["fan"] == 0.5 and found["pump"] == 0.75
    assert found[ALL] == pytest.approx(2 / (1 / 0.5 + 1 / 0.75))
    assert oracle(EVAL).candidate == {"fan": "gmm", "pump": "gmm"}


def test_nothing_on_the_evaluation_side_moves_the_choice():
    turned = dataclasses.replace(
        EVAL,
        value={m: {c: 1 - v for c, v in by.items()} for m, by in EVAL.value.items()},
    )
    choice = select(DEV)
    for side in (EVAL, turned):
        assert [r.chosen for r in rows(choice, side)][:2] == ["knn", "gmm"]
    assert report(choice, turned) != report(choice, EVAL)


def test_sides_do_not_mix():
    with pytest.raises(SelectionError, match="an oracle"):
        select(EVAL)
    with pytest.raises(SelectionError, match="evaluation figures"):
        oracle(DEV)
    with pytest.raises(SelectionError, match="evaluation figures"):
        report(select(DEV), DEV)
    with pytest.raises(SelectionError, match="not Oracle"):
        report(oracle(EVAL), EVAL)  # type: ignore[arg-type]
    same = dataclasses.replace(EVAL, sections=DEV.sections)
    with pytest.raises(SelectionError, match="both sides.*fan 00, pump 00"):
        report(select(DEV), same)


def test_one_choice_for_all_holds_for_machines_that_development_lacks():
    choice = select(DEV, scope="all")
    assert choice.candidate == {ALL: "gmm"}
    new = figures("evaluation", {"saw": {"knn": 0.9, "gmm": 0.6}})
    assert report(choice, new) == {"saw": 0.6, ALL: pytest.approx(0.6)}
    line, total = rows(choice, new)
    assert np.isnan(line.development) and line.oracle_candidate == "knn"
    assert total.development == pytest.approx(2 / (1 / 0.8 + 1 / 0.7))
    with pytest.raises(SelectionError, match="saw: nothing was chosen"):
        report(select(DEV), figures("evaluation", EVAL.value | new.value, "03"))
    with pytest.raises(SelectionError, match=r"not evaluated: \['pump'\]"):
        report(select(DEV), figures("evaluation", {"fan": EVAL.value["fan"]}, "03"))


def test_undefined_figures_are_never_chosen():
    nan = float("nan")
    value = {"fan": {"knn": nan, "gmm": 0.2}}
    assert select(figures("development", value)).candidate == {"fan": "gmm"}
    with pytest.raises(SelectionError, match="fan: no candidate"):
        select(figures("development", {"fan": {"knn": nan}}))
    with pytest.raises(SelectionError, match="no figure of 'knn'"):
        report(select(DEV), figures("evaluation", {"fan": {}, "pump": {}}, "03"))


def test_a_machine_without_anomalies_takes_what_is_best_for_the_others():
    nan = float("nan")
    none = {"knn": nan, "gmm": nan}
    development = figures("development", {**DEV.value, "saw": none})
    with pytest.raises(SelectionError, match="saw: no candidate"):
        select(development)
    choice = select(development, scope="machine_or_all")
    assert choice.candidate == {"fan": "knn", "pump": "gmm", ALL: "gmm"}
    new = {"saw": {"knn": 0.9, "gmm": 0.6}, "fan": none, "pump": EVAL.value["pump"]}
    found = report(choice, figures("evaluation", new, "03"))
    assert np.isnan(found["fan"]) and found["saw"] == 0.6
    assert found[ALL] == pytest.approx(2 / (1 / 0.6 + 1 / 0.75))
    text = table(choice, figures("evaluation", new, "03"))
    assert "fan: no figure" in text and "saw: nothing to choose by" in text
    assert "| fan | knn | 90.00 | – |  | – |" in text


def test_of_equal_figures_the_first_named_wins():
    value = {"fan": {"b": 0.5, "a": 0.5}}
    assert select(figures("development", value)).candidate == {"fan": "b"}


def test_the_table_tells_the_result_from_the_oracle():
    text = table(select(DEV), EVAL)
    lines = text.splitlines()
    assert lines[2] == "| fan | knn | 90.00 | 50.00 | gmm | 80.00 |"
    assert lines[4].startswith("| all machines |  | 78.75 | 60.00 |")
    assert "2 candidates" in text and "not a result" in text


def scored(quality, seed=0, section="00"):
    rng = np.random.default_rng(seed)
    label = np.tile([0, 1], 40)
    return ScoredClips(
        clip=np.array([f"{i:04d}.wav" for i in range(80)]),
        machine=np.repeat(["fan", "pump"], 40),
        section=np.full(80, section),
        domain=np.full(80, "source"),
        label=label,
        score=quality * label + rng.normal(size=80),
    )


def test_measure_applies_the_figure_to_each_machine():
    good, bad = scored(3.0), scored(0.0)
    found = measure({"good": good, "bad": bad}, auc, side="development", name="AUC")
    fan = np.flatnonzero(good.machine == "fan")
    assert found.value["fan"]["good"] == auc(good.take(fan))
    assert found.sections == {("fan", "00"), ("pump", "00")}
    assert select(found).candidate == {"fan": "good", "pump": "good"}


def test_candidates_must_score_the_same_clips_once_and_finitely():
    good = scored(3.0)
    less = good.take(np.arange(1, 80))
    with pytest.raises(
        SelectionError, match="b and a score different.*fan/00/0000.wav"
    ):
        measure({"a": good, "b": less}, auc, side="development", name="AUC")
    twice = good.take(np.r_[0, 0:80])
    with pytest.raises(SelectionError, match="b: a clip has two scores"):
        measure({"a": good, "b": twice}, auc, side="development", name="AUC")
    spoilt = scored(3.0)
    spoilt.score[7] = np.nan
    with pytest.raises(SelectionError, match="b: 1 scores.*0007.wav"):
        measure({"a": good, "b": spoilt}, auc, side="development", name="AUC")
    with pytest.raises(SelectionError, match="no candidate"):
        measure({}, auc, side="development", name="AUC")
