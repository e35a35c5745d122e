"""Submissions of every year: written, read, paired by name, and refused by name."""

import csv
import os
import shutil

import numpy as np
import pytest

from sigjax.data.machine_sound.clips import Clip, Manifest
from sigjax.evals import dcase, submission
from sigjax.evals.ground_truth import GroundTruthError, read_truth
from tests.evals import truths

YEARS = range(2020, 2027)


def _scores(made, seed=1):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=len(made.label)) + made.label
    return score, (score > 0.5).astype(int)


def _submit(folder, made, *, name=None, year=None):
    score, decision = _scores(made)
    submission.write_submission(
        folder,
        year or made.year,
        machine=made.machine,
        section=made.section,
        name=made.name if name is None else name,
        score=score,
        decision=decision,
    )
    return folder


def _expected(made):
    score, decision = _scores(made)
    return dcase.score(
        dcase.ClipScores(
            machine=made.machine,
            section=made.section,
            domain=made.domain,
            label=made.label,
            score=score,
            decision=None if made.year == 2020 else decision,
        ),
        made.year,
    ).mean()


def _found(folder, truth, year=None):
    known = read_truth(truth, year)
    paired = submission.pair(
        submission.read_submission(folder), known, year or known.year
    )
    return dcase.score(paired, year or known.year).mean()


@pytest.mark.parametrize("year", YEARS)
def test_what_is_written_is_read_and_scored_as_it_was(tmp_path, year):
    made = truths.clips(year)
    truth = truths.write_evaluator(tmp_path / "truth", made)
    folder = _submit(tmp_path / "mine", made)
    assert _found(folder, truth) == _expected(made)
    assert read_truth(truth).year == year


@pytest.mark.parametrize(
    ("year", "files"),
    [
        (2020, ["anomaly_score_ToyCar_id_05.csv"]),
        (
            2021,
            [
                "anomaly_score_ToyCar_section_03_source_test.csv",
                "decision_result_ToyCar_section_03_target_test.csv",
            ],
        ),
        (
            2024,
            [
                "anomaly_score_3DPrinter_section_00_test.csv",
                "decision_result_3DPrinter_section_00_test.csv",
            ],
        ),
    ],
)
def test_files_are_those_that_the_evaluators_read(tmp_path, year, files):
    made = truths.clips(year)
    folder = _submit(tmp_path, made)
    there = set(os.listdir(folder))
    assert there >= set(files)
    kinds = 1 if year == 2020 else 2
    assert len(there) == kinds * len(np.unique(made.of_file))
    with open(folder / files[0], newline="") as file:
        rows = list(csv.reader(file))
    # The evaluators sort lines and labels and pair them as they come.
    assert rows == sorted(rows) and len(rows[0]) == 2
    here = made.of_file == files[0].removeprefix("anomaly_score_").removesuffix(".csv")
    of = dict(zip(made.name[here], _scores(made)[0][here], strict=True))
    assert {name: float(value) for name, value in rows} == of


@pytest.mark.parametrize("year", [2021, 2023, 2024])
def test_the_baselines_lists_are_ground_truth_too(tmp_path, year):
    made = truths.clips(year)
    truth = truths.write_list(tmp_path / f"eval_data_list_{year}.csv", made)
    assert _found(_submit(tmp_path / "mine", made), truth) == _expected(made)


@pytest.mark.parametrize("year", [2023, 2024, 2025, 2026])
def test_names_that_tell_the_truth_are_accepted_since_2023(tmp_path, year):
    made = truths.clips(year)
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made, name=made.true_name)
    assert _found(folder, truth) == _expected(made)
    # Attributes that were hidden when the system ran, or are missing in the truth.
    short = [name.split("_vel_")[0] + "_noAttribute.wav" for name in made.true_name]
    folder = _submit(tmp_path / "hidden", made, name=np.array(short))
    assert _found(folder, truth) == _expected(made)


def test_numbers_of_true_names_are_not_taken_for_published_ones(tmp_path):
    made = truths.clips(2025)
    truth = truths.write_evaluator(tmp_path, made)
    shutil.rmtree(truth / "ground_truth_attributes")
    folder = _submit(tmp_path / "mine", made, name=made.true_name)
    # Nothing says any more which clip a true name is of.
    with pytest.raises(submission.SubmissionError, match="does not fit"):
        _found(folder, truth)


def test_names_that_could_be_two_clips_are_no_clip(tmp_path):
    made = truths.clips(2023)
    alike = np.flatnonzero(
        (made.machine == "Vacuum") & (made.domain == "source") & (made.label == 0)
    )[:2]
    for row, attribute in zip(alike, ("a_1", "a_2"), strict=True):
        made.true_name[row] = f"section_00_source_test_normal_9999_{attribute}.wav"
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made, name=made.true_name)
    assert _found(folder, truth) == _expected(made)
    spelt = made.true_name.copy()
    spelt[alike[0]] = "section_00_source_test_normal_9999_noAttribute.wav"
    folder = _submit(tmp_path / "other", made, name=spelt)
    with pytest.raises(
        submission.SubmissionError, match=r"Vacuum.*1 clips that .*9999_noAttr"
    ):
        _found(folder, truth)


def test_a_name_that_contradicts_the_truth_is_no_clip(tmp_path):
    made = truths.clips(2023)
    truth = truths.write_evaluator(tmp_path, made)
    lies = made.true_name.copy()
    lies[0] = lies[0].replace("_vel_0", "_x").replace("_vel_1", "_x")
    swap = {"normal": "anomaly", "anomaly": "normal"}
    said = next(word for word in swap if f"_{word}_" in lies[0])
    lies[0] = lies[0].replace(said, swap[said])
    folder = _submit(tmp_path / "mine", made, name=lies)
    with pytest.raises(submission.SubmissionError, match=r"1 clips that .* has not"):
        _found(folder, truth)


def test_names_of_2022_that_tell_the_truth_are_not_believed(tmp_path):
    made = truths.clips(2022)
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made, name=made.true_name)
    with pytest.raises(submission.SubmissionError, match="does not fit"):
        _found(folder, truth)


def test_the_wrong_list_of_2022_is_refused(tmp_path):
    made = truths.clips(2022)
    folder = _submit(tmp_path / "mine", made)
    wrong = truths.write_list(tmp_path / "lists" / "eval_data_list_2022.csv", made)
    for truth in (wrong, wrong.parent):
        with pytest.raises(GroundTruthError, match="ToyCar and ToyTrain.*evaluator"):
            _found(folder, truth)
    # Beside the evaluator's labels it does no harm.
    truths.write_evaluator(wrong.parent, made)
    assert _found(folder, wrong.parent) == _expected(made)


def test_hidden_names_may_be_spelt_with_test_and_lie_in_folders(tmp_path):
    made = truths.clips(2022)
    truth = truths.write_evaluator(tmp_path, made)
    spelt = np.array(
        [f"eval/test/section_{n[8:10]}_test_{n[11:]}" for n in made.name.tolist()]
    )
    assert _found(_submit(tmp_path / "a", made, name=spelt), truth) == _expected(made)


def test_the_order_of_lines_does_not_matter(tmp_path):
    made = truths.clips(2023)
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made)
    rng = np.random.default_rng(3)
    for file in folder.iterdir():
        lines = file.read_text().splitlines()
        rng.shuffle(lines)
        # As a spreadsheet on Windows leaves it.
        file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, ""]).encode() + b"\r\n")
    assert _found(folder, truth) == _expected(made)


def test_the_baselines_own_file_names_are_read(tmp_path):
    made = truths.clips(2024)
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made)
    for file in list(folder.iterdir()):
        kind, rest = file.name.split("_", 2)[:2], file.stem.split("_", 2)[2]
        name = f"{'_'.join(kind)}_DCASE2024T2{rest}_seed13711_id(0_)_Eval.csv"
        file.rename(folder / name)
    assert _found(folder, truth) == _expected(made)
    again = "anomaly_score_3DPrinter_section_00_test.csv"
    (folder / again).write_text("section_00_0001.wav,1\n")
    with pytest.raises(submission.SubmissionError, match="same section"):
        _found(folder, truth)


def _edit(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text().splitlines(keepends=True)))


def _pump(kind="anomaly_score"):
    return f"{kind}_pump_section_04_target_test.csv"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (_pump(), lambda x: "".join(x[2:]), "scores of 2 of 16 clips are missing"),
        (
            _pump(),
            lambda x: "".join([*x, x[3]]),
            r"1 clips are there twice: section_04",
        ),
        (
            _pump(),
            lambda x: "".join([*x, "section_04_target_test_9999.wav,1\n"]),
            "scores of 1 clips that the ground truth has not: .*_9999.wav",
        ),
        (
            _pump(),
            lambda x: "".join([*x, "section_03_target_test_0000.wav,1\n"]),
            "pump section 04: .*section_03_target_test_0000.wav",
        ),
        (_pump(), lambda x: "".join(["file,score\n", *x]), "line 1: .* no header"),
        (
            _pump(),
            lambda x: "".join([*x, "a.wav\n"]),
            "line 9: expected .* got 'a.wav'",
        ),
        (
            _pump(),
            lambda x: "".join([*x[:-1], "a.wav,nan\n"]),
            "line 8: nan is no finite",
        ),
        (
            _pump("decision_result"),
            lambda x: "".join(["a.wav,2\n", *x]),
            "line 1: 2.0 is no decision",
        ),
        (
            _pump("decision_result"),
            lambda x: "".join(x[1:]),
            "pump section 04: decisions of 1 of 16",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, name, change, message):
    made = truths.clips(2021)
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made)
    assert _found(folder, truth) == _expected(made)
    _edit(folder, name, change)
    with pytest.raises(submission.SubmissionError, match=message):
        _found(folder, truth)


def test_all_that_does_not_fit_is_listed_at_once(tmp_path):
    made = truths.clips(2023)
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made)
    (folder / "anomaly_score_Vacuum_section_00_test.csv").unlink()
    (folder / "decision_result_bandsaw_section_00_test.csv").unlink()
    (folder / "anomaly_score_fan_section_00_test.csv").write_text("a.wav,1\n")
    with pytest.raises(submission.SubmissionError) as caught:
        _found(folder, truth)
    text = str(caught.value)
    assert "Vacuum section 00: no file of scores" in text
    assert "bandsaw section 00: no file of decisions" in text
    assert "fan section 00: the ground truth has no such section" in text


def test_scores_alone_are_scored_without_decisions(tmp_path):
    made = truths.clips(2023)
    truth = truths.write_evaluator(tmp_path, made)
    folder = _submit(tmp_path / "mine", made)
    for file in folder.glob("decision_result_*"):
        file.unlink()
    (folder / "system.meta.yaml").write_text("team: x\n")
    read = submission.read_submission(folder)
    assert read.ignored == ("system.meta.yaml",) and not read.decisions
    found = _found(folder, truth)
    assert found["mean"] == _expected(made)["mean"] and "f1_source" not in found


def test_folders_that_are_none_say_where_there_are_some(tmp_path):
    made = truths.clips(2023)
    _submit(tmp_path / "team" / "system_1", made)
    with pytest.raises(submission.SubmissionError, match="no such folder"):
        submission.read_submission(tmp_path / "nothing")
    with pytest.raises(submission.SubmissionError, match="there are some in system_1"):
        submission.read_submission(tmp_path / "team")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(score=[1.0, np.nan]), "fan b.wav: nan is no finite"),
        (dict(decision=[0, 3]), "fan b.wav: 3.0 is no decision"),
        (dict(name=["x/a.wav", "y/a.wav"]), "fan a.wav is there twice"),
        (dict(decision=None), "2023 needs decisions"),
        (dict(score=[1.0]), r"columns differ in length: \[1, 2\]"),
        (dict(year=2021), "fan a.wav: files of 2021 are by domain"),
    ],
)
def test_what_no_evaluator_would_read_is_not_written(tmp_path, changes, message):
    columns = dict(
        year=2023,
        machine=["fan", "fan"],
        section=["00", "00"],
        name=["a.wav", "b.wav"],
        score=[0.0, 1.0],
        decision=[0, 1],
    )
    folder = tmp_path / "new"
    with pytest.raises(submission.SubmissionError, match=message):
        submission.write_submission(folder, **{**columns, **changes})
    assert not folder.exists()


def test_another_submission_is_not_mixed_with_this_one(tmp_path):
    made = truths.clips(2023)
    _submit(tmp_path, made)
    _submit(tmp_path, made)  # Written again: the same files.
    with pytest.raises(submission.SubmissionError, match="another submission"):
        _submit(tmp_path, truths.clips(2024))


def test_a_manifest_of_labelled_clips_is_ground_truth(tmp_path):
    made = truths.clips(2023)
    made.name = made.true_name
    labelled = [
        Clip(
            path=f"{machine}/test/{name}",
            machine=machine,
            section=section,
            side="test",
            domain=domain,
            label=label,
        )
        for machine, section, domain, label, name in zip(
            made.machine.tolist(),
            made.section.tolist(),
            made.domain.tolist(),
            made.label.tolist(),
            made.name.tolist(),
            strict=True,
        )
    ]
    path = tmp_path / "clips.csv"
    Manifest(root=tmp_path, clips=tuple(labelled)).write(path)
    folder = _submit(tmp_path / "mine", made)
    assert _found(folder, path) == _expected(made)
    Manifest(root=tmp_path, clips=(labelled[0], labelled[0])).write(path)
    with pytest.raises(GroundTruthError, match="two clips of .* are called"):
        read_truth(path)
    unknown = Clip(path="a.wav", machine="fan", section="00", side="test")
    Manifest(root=tmp_path, clips=(unknown,)).write(path)
    with pytest.raises(GroundTruthError, match="no test clip has a label"):
        read_truth(path)


def test_truth_that_is_none_or_of_another_year_is_refused(tmp_path):
    with pytest.raises(GroundTruthError, match="no such"):
        read_truth(tmp_path / "nothing")
    with pytest.raises(GroundTruthError, match="no ground truth here"):
        read_truth(tmp_path)
    for year in (2023, 2024):
        truth = truths.write_evaluator(tmp_path / "both", truths.clips(year))
    with pytest.raises(GroundTruthError, match="is the truth of 2024, not of 2023"):
        read_truth(truth, 2023)
    with pytest.raises(GroundTruthError, match=r"\[2023, 2024\]; say which"):
        read_truth(tmp_path / "both")
    both = read_truth(tmp_path / "both", 2023)
    assert both.year == 2023 and ("3DPrinter", "00") not in both.clips
    os.rename(truth / "ground_truth_data", tmp_path / "elsewhere")
    os.rename(truth / "ground_truth_attributes", tmp_path / "elsewhere_too")
    with pytest.raises(GroundTruthError, match="no label of .* ground_truth_data"):
        read_truth(truth)
