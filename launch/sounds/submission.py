"""Scores a folder of DCASE Task 2 results: what launch.evaluate --submission does."""

import json

from etils import epath

from sigjax.evals import dcase, dcase_table, detection_intervals, submission
from sigjax.evals.ground_truth import GroundTruthError, read_truth
from sigjax.train.writer import WorkdirError, prepare_workdir, replace_file

EXPECTED_ERRORS = (
    dcase.DcaseError,
    submission.SubmissionError,
    GroundTruthError,
    WorkdirError,
)


def score_submission(
    folder: epath.PathLike,
    truth: epath.PathLike,
    year: int | None = None,
    *,
    output: epath.PathLike | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> str:
    """Scores anyone's submission by the rule of its year.

    Args:
      folder: One system's `anomaly_score_*.csv`, and `decision_result_*.csv` if it
        decided.
      truth: Ground truth of any year, or a manifest of labelled clips; see
        `sigjax.evals.ground_truth.read_truth`.
      year: 2020 to 2026; by default as the ground truth tells.
      output: Gets `scores.csv`, and last `metrics.json`; `evaluation` in `folder` by
        default.
      bootstrap: Resamples of clips for the intervals; 0 for none.
      seed: Of the resamples.

    Returns:
      A table for the terminal.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    path = epath.Path(folder).expanduser()
    known = read_truth(truth, year)
    told = year or known.year
    if told is None:
        raise GroundTruthError(
            f"{truth}: neither its folders nor its machines tell the year; say it with"
            " --year (data of one's own: 2020 without domains, 2022 with)"
        )
    submitted = submission.read_submission(path)
    scores = dcase.score(submission.pair(submitted, known, told), told)
    intervals = None
    if bootstrap:
        intervals = detection_intervals.bootstrap_scores(
            scores, resamples=bootstrap, seed=seed
        )
    about = {
        "submission": str(path),
        "truth": str(truth),
        "bootstrap": bootstrap,
        "seed": seed,
    }
    place = prepare_workdir(path / "evaluation" if output is None else output)
    found = {**dcase_table.as_dict(scores, intervals), "about": about}
    replace_file(place / "scores.csv", dcase_table.as_csv(scores).encode())
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    replace_file(place / "metrics.json", text.encode())
    lines = [f"submission {path.name}", dcase_table.as_text(scores, intervals)]
    if not submitted.decisions:
        lines.append("no decision_result_*.csv: no precision, recall and F1")
    others = [name for name in submitted.ignored if name.endswith(".csv")]
    if others:
        lines.append(f"not understood, not used: {', '.join(others)}")
    return "\n".join([*lines, f"in {place}: metrics.json, scores.csv"])
