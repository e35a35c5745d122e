"""The benchmarks' common measure: which way a ratio points, what a line holds."""

import json

import pytest

from benchmarks import harness


@pytest.fixture(autouse=True)
def rests(monkeypatch):
    """Seconds slept before turns, without sleeping."""
    slept = []
    monkeypatch.setattr(harness.time, "sleep", slept.append)
    return slept


def case(name, ours_s, peer_s, **changes):
    fields = dict(name="demo", case=name, unit="s")
    return harness.Case(
        ours=lambda: ours_s, peer=lambda: peer_s, **{**fields, **changes}
    )


def test_every_turn_begins_on_an_idle_machine(rests):
    harness.measure(case("time", 2.0, 3.0), device="cpu", repeats=2, warmup=1)
    assert len(rests) == 6 and min(rests) >= 0.2


def test_ratio_above_one_means_ours_is_better():
    time_line = harness.measure(case("time", 2.0, 3.0), device="cpu")
    assert (time_line["ours"], time_line["peer"], time_line["ratio"]) == (2, 3, 1.5)
    work = case("work", 2.0, 3.0, unit="crops/s", work=12)
    work_line = harness.measure(work, device="cpu")
    assert (work_line["ours"], work_line["peer"], work_line["ratio"]) == (6, 4, 1.5)


def test_medians_of_turns_after_the_warmup():
    spent = {"ours": iter([99.0, 1, 5, 2]), "peer": iter([0.0, 4, 4, 40])}
    turns = []

    def side(name):
        turns.append(name)
        return next(spent[name])

    line = harness.measure(
        harness.Case(
            name="demo",
            case="medians",
            ours=lambda: side("ours"),
            peer=lambda: side("peer"),
            unit="s",
        ),
        device="cpu",
        repeats=3,
    )
    assert (line["ours"], line["peer"]) == (2, 4)
    assert turns == ["ours", "peer", "peer", "ours"] * 2


def test_lines_and_the_smallest_ratio_last(tmp_path, capsys):
    out = tmp_path / "results" / "demo.jsonl"
    cases = [
        case("good", 1.0, 2.0),
        case("bad", 2.0, 1.0, extras={"note": "x"}),
        case("even", 1.0, 1.0),
    ]
    harness.run(cases, device="cpu:test x1", out=out)
    printed = capsys.readouterr().out
    assert out.read_text() == printed
    lines = [json.loads(line) for line in printed.splitlines()]
    keys = {"name", "case", "ours", "peer", "ratio", "unit", "device"}
    assert [line["case"] for line in lines] == ["good", "bad", "even", "bad"]
    assert all(keys <= line.keys() for line in lines)
    assert lines[-1] == {**lines[1], "smallest": True} and lines[1]["note"] == "x"
    with pytest.raises(ValueError, match="without cases"):
        harness.run([], device="cpu")


def test_a_call_is_timed_where_a_side_returns_nothing():
    line = harness.measure(case("timed", None, None), device="cpu")
    assert 0 < line["ours"] < 1
