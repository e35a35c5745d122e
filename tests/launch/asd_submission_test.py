"""Anyone's submission folder, scored from files."""

import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from launch.sounds import submission as asd_submission
from sigjax.evals import submission
from tests.evals import truths


def _folders(tmp_path, year, *, decisions=True):
    made = truths.clips(year, n=10)
    truth = truths.write_evaluator(tmp_path, made)
    score = np.random.default_rng(0).normal(size=len(made.label)) + made.label
    folder = tmp_path / "team_1"
    submission.write_submission(
        folder,
        year,
        machine=made.machine,
        section=made.section,
        name=made.name,
        score=score,
        decision=(score > 0.5).astype(int),
    )
    return folder, truth


@pytest.mark.parametrize("year", [2020, 2021, 2023])
def test_a_folder_and_the_truth_give_a_table_and_files(tmp_path, year):
    folder, truth = _folders(tmp_path, year)
    text = asd_submission.score_submission(folder, truth, bootstrap=20)
    told = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert f": {100 * told['official']:.2f} [" in text
    assert f"rule of {2022 if year > 2021 else year}" in text
    assert told["year"] == year and told["about"]["truth"] == str(truth)
    with (folder / "evaluation" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    total = next(row for row in rows if row["machine"] == "all")
    assert float(total["mean"]) == told["official"] == told["total"]["mean"]
    low, high = (told["intervals"]["total"]["mean"][end] for end in ("low", "high"))
    assert low < told["official"] < high
    # Scored again, with what the first time left in the folder.
    again = asd_submission.score_submission(folder, truth, year, bootstrap=20)
    assert again == text


def test_results_go_where_they_are_asked_for_and_say_what_was_not_used(tmp_path):
    folder, truth = _folders(tmp_path, 2023)
    for file in folder.glob("decision_result_*"):
        file.unlink()
    (folder / "notes.csv").write_text("a,b\n")
    place = tmp_path / "results"
    text = asd_submission.score_submission(folder, truth, output=place, bootstrap=0)
    assert sorted(p.name for p in place.iterdir()) == ["metrics.json", "scores.csv"]
    assert "no decision_result_*.csv" in text and "not used: notes.csv" in text
    assert "[" not in text and not (folder / "evaluation").exists()
    assert "intervals" not in json.loads((place / "metrics.json").read_text())


def test_what_cannot_be_scored_leaves_no_files(tmp_path):
    folder, truth = _folders(tmp_path, 2023)
    (folder / "anomaly_score_Vacuum_section_00_test.csv").unlink()
    with pytest.raises(asd_submission.EXPECTED_ERRORS, match="Vacuum section 00"):
        asd_submission.score_submission(folder, truth)
    with pytest.raises(asd_submission.EXPECTED_ERRORS, match="not of 2021"):
        asd_submission.score_submission(folder, truth, 2021)
    with pytest.raises(asd_submission.EXPECTED_ERRORS, match="no such folder"):
        asd_submission.score_submission(tmp_path / "nothing", truth)
    assert not (folder / "evaluation").exists()


def test_the_year_must_be_said_where_nothing_tells_it(tmp_path):
    truth = tmp_path / "ground_truth_data" / "ground_truth_motor_section_00_test.csv"
    truths.write(truth, [("section_00_0000.wav", 0), ("section_00_0001.wav", 1)])
    folder = tmp_path / "mine"
    truths.write(
        folder / "anomaly_score_motor_section_00_test.csv",
        [("section_00_0000.wav", 0.5), ("section_00_0001.wav", 2)],
    )
    with pytest.raises(asd_submission.EXPECTED_ERRORS, match="--year"):
        asd_submission.score_submission(folder, tmp_path / "ground_truth_data")
    text = asd_submission.score_submission(
        folder, tmp_path / "ground_truth_data", 2020, bootstrap=0
    )
    assert "100.00" in text and "not the challenge's score" in text


def test_the_list_of_2020_is_no_wrong_list_wherever_it_lies(tmp_path):
    folder, truth = _folders(tmp_path, 2020)
    said = asd_submission.score_submission(folder, truth, bootstrap=0)
    (tmp_path / "truth").mkdir()
    (listed,) = truth.rglob("eval_data_list.csv") if truth.is_dir() else [truth]
    moved = listed.rename(tmp_path / "truth" / listed.name)
    for where in (moved, moved.parent):
        assert asd_submission.score_submission(folder, where, 2020, bootstrap=0) == said


def test_the_command_scores_a_submission(tmp_path):
    folder, truth = _folders(tmp_path, 2021)
    arguments = [f"--submission={folder}", f"--truth={truth}", "--bootstrap=10"]
    done = subprocess.run(
        [sys.executable, "-m", "launch.evaluate", *arguments],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "ToyTrain" in done.stdout
    assert (folder / "evaluation" / "metrics.json").exists()
