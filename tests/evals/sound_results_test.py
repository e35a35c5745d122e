"""Results of a detector: written and read bit for bit, and what is counted of them."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.stats

from sigjax.evals import dcase, thresholds
from sigjax.evals.sound_results import (
    SoundResults,
    SoundResultsError,
    choose_examples,
    decided,
    decided_rows,
    read_results,
)

ODD = {"vel": "6;x=1", "a,b": 'say "no"\r\nnext', "é": ""}


def make_results(*, n=12, seed=0, domains=("source", "target"), year=2022, **changes):
    """Two machines; of `fan` one section is for development."""
    rng = np.random.default_rng(seed)
    rows, attributes, side = [], [], []
    pairs = (("fan", "00"), ("fan", "03"), ("pump", "03"))
    for machine, section in pairs:
        for domain in domains:
            for label in (0, 1):
                for i in range(n):
                    score = rng.normal() + 1.5 * label
                    name = f"section_{section}_{domain}_{label}_{i}.wav"
                    rows.append((machine, section, domain, label, score, name))
                    attributes.append({"vel": str(6 + 3 * (i % 2))})
                    side.append("development" if section == "00" else "evaluation")
    machine, section, domain, label, score, name = zip(*rows, strict=True)
    clips = dcase.ClipScores(
        machine=np.array(machine),
        section=np.array(section),
        domain=np.array(domain),
        label=np.array(label),
        score=np.array(score),
        name=np.array(name),
    )
    values = {
        "clips": clips,
        "year": year,
        "chosen": {"fan": "kNN", "pump": "GMM"},
        "thresholds": {
            pair: thresholds.conformal(rng.normal(size=200), 0.1) for pair in pairs
        },
        "hop_s": 10.0,
        "attributes": attributes,
        "side": side,
        "facts": {"data set": "made up"},
        "simulated": True,
    }
    return SoundResults(**{**values, **changes})


def _columns(results):
    clips = results.clips
    return [getattr(clips, field.name) for field in dataclasses.fields(clips)]


@pytest.mark.parametrize("bare", [False, True])
def test_written_results_are_read_bit_for_bit(tmp_path, bare):
    made = make_results()
    score = made.clips.score.copy()
    score[:5] = [5e-324, 1 / 3, -0.0, 1e300, np.nextafter(1, 2)]
    clips = dataclasses.replace(made.clips, score=score, decision=None)
    if bare:
        clips = dataclasses.replace(clips, name=None)
    else:
        made = dataclasses.replace(made, thresholds={})
        clips = dataclasses.replace(clips, decision=(score > 0.5).astype(int))
    attributes = [ODD, {}, *made.attributes[2:]]
    made = dataclasses.replace(made, clips=clips, attributes=attributes)
    made.write(tmp_path)
    read = read_results(tmp_path)
    for a, b in zip(_columns(made), _columns(read), strict=True):
        if a is None:
            assert b is None
        else:
            np.testing.assert_array_equal(a, b)
            assert a.dtype.kind == b.dtype.kind
    assert np.signbit(read.clips.score[2])
    assert read.attributes == made.attributes
    assert dict(read.thresholds) == dict(made.thresholds)
    for name in ("year", "chosen", "hop_s", "side", "facts", "simulated"):
        assert getattr(read, name) == getattr(made, name)


def test_scores_in_the_file_are_of_one_side_each(tmp_path):
    results = make_results()
    results.write(tmp_path)
    about = json.loads((tmp_path / "results.json").read_text())
    assert list(about["scores"]) == ["evaluation", "development"]
    assert about["scores"]["evaluation"]["clips"] == 96
    for side in ("evaluation", "development"):
        rows = np.flatnonzero(np.asarray(results.side) == side)
        columns = [None if c is None else c[rows] for c in _columns(results)]
        names = [field.name for field in dataclasses.fields(results.clips)]
        clips = dcase.ClipScores(**dict(zip(names, columns, strict=True)))
        expected = dcase.score(clips, 2022).mean()["mean"]
        assert about["scores"][side]["total"]["mean"] == expected


def test_a_changed_table_is_not_read(tmp_path):
    make_results().write(tmp_path)
    path = tmp_path / "scores.csv"
    path.write_text(path.read_text().replace(",1,", ",0,", 1))
    with pytest.raises(SoundResultsError, match="changed, or writing was interrupted"):
        read_results(tmp_path)
    with pytest.raises(SoundResultsError, match="no results"):
        read_results(tmp_path / "nowhere")


def test_contradictions_are_refused():
    results = make_results()
    wrong = 1 - results.decision.astype(int)
    clips = dataclasses.replace(results.clips, decision=wrong)
    with pytest.raises(SoundResultsError, match="144 decisions .* fan section 00"):
        dataclasses.replace(results, clips=clips)
    with pytest.raises(SoundResultsError, match="side 'test' is none of"):
        dataclasses.replace(results, side=["test"] * len(results.clips))
    with pytest.raises(SoundResultsError, match="144 clips, but 1 of attributes"):
        dataclasses.replace(results, attributes=[{}])


def test_clips_without_a_threshold_are_undecided():
    results = make_results()
    fan = {key: t for key, t in results.thresholds.items() if key != ("pump", "03")}
    results = dataclasses.replace(results, thresholds=fan)
    pump = results.clips.machine == "pump"
    assert (results.decision[pump] == -1).all()
    assert (results.decision[~pump] >= 0).all()
    assert decided_rows(results, "pump") == []
    every = decided(results, np.arange(len(results.clips)), "all", "")
    assert every.undecided == 48
    assert every.figures.hits + every.figures.misses == 48


def test_decisions_are_counted_as_by_hand():
    results = make_results(n=40)
    rows = decided_rows(results.of_side("evaluation"), "fan")
    assert [(r.section, r.domain) for r in rows] == [
        ("03", "source"),
        ("03", "target"),
        ("all", ""),
    ]
    clips, value = results.clips, results.thresholds["fan", "03"].value
    own = clips.of_section("fan", "03") & (clips.domain == "source")
    normal, anomaly = (clips.score[own & (clips.label == k)] for k in (0, 1))
    alarms = int((normal > value).sum())
    assert 0 < alarms < 40
    first = rows[0]
    assert first.figures.false_alarms == alarms
    assert first.figures.recall == (anomaly > value).mean()
    limits = scipy.stats.binomtest(alarms, 40).proportion_ci(0.95, method="exact")
    np.testing.assert_allclose(first.false, (alarms / 40, *limits), rtol=1e-9)
    np.testing.assert_allclose(first.per_day, 8640 * np.array(first.false))
    assert first.promised == results.thresholds["fan", "03"].per_day(10.0)
    together = sum(row.figures.false_alarms for row in rows[:2])
    assert rows[2].figures.false_alarms == together
    assert rows[2].normal == 80


def test_examples_show_what_their_titles_say():
    results = make_results(n=40)
    picked = choose_examples(results, "fan", each=2)
    clips, made = results.clips, results.decision
    assert len({row for row, _ in picked}) == len(picked) == 10
    truth = {
        "most anomalous": (1, 1),
        "false alarm": (0, 1),
        "miss": (1, 0),
        "normal, as it should be": (0, 0),
    }
    for row, title in picked:
        assert clips.machine[row] == "fan" and results.side[row] == "evaluation"
        if title != "borderline":
            assert (clips.label[row], made[row]) == truth[title]
    evaluation = clips.of_section("fan", "03")
    assert (
        clips.score[picked[0][0]] == clips.score[evaluation & (clips.label == 1)].max()
    )
    assert choose_examples(dataclasses.replace(results, thresholds={}), "fan") == []


def test_recordings_come_back_with_their_clips(tmp_path):
    group = [f"{i // 3}, a" for i in range(len(make_results().clips))]
    made = make_results(group=group)
    made.write(tmp_path)
    read = read_results(tmp_path)
    assert read.group == group
    rows = np.flatnonzero(np.asarray(made.side) == "evaluation").tolist()
    assert read.of_side("evaluation").group == [group[i] for i in rows]
    with pytest.raises(SoundResultsError, match="2 of group"):
        make_results(group=["a", "b"])
    make_results().write(tmp_path)
    assert read_results(tmp_path).group is None


def test_false_alarms_of_one_recording_are_taken_together():
    alone = make_results()
    rows = np.flatnonzero(alone.clips.label == 0)
    # A recording of all clips, of a score that no threshold lets pass.
    score = np.where(alone.clips.label == 0, 9.0, alone.clips.score)
    clips = dataclasses.replace(alone.clips, score=score)
    found = {}
    for size in (1, 12):
        group = [str(i // size) for i in range(len(clips))]
        results = dataclasses.replace(alone, clips=clips, group=group)
        assert results.recordings(rows) == len(rows) // size
        found[size] = decided(results, rows, "all", "").false
    assert found[1] == decided(
        dataclasses.replace(alone, clips=clips), rows, "all", ""
    ).false  # fmt: skip
    assert found[1].value == found[12].value == found[12].high == 1
    few = len(rows) // 12
    assert found[12].low == pytest.approx(0.025 ** (1 / few))
    assert found[1].low > found[12].low
