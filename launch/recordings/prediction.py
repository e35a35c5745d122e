"""Recording after recording into a folder of results, and what is told of them."""

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from launch import results as res
from launch.recordings.reading import Found
from sigjax.data import audio
from sigjax.data.wearable import jobs, plan

_MOST_SHOWN = 20


def predict_each(
    inputs: Sequence[str],
    found: Found,
    results: res.Results,
    predict: Callable[[jobs.Job], res.Made],
    *,
    columns: Sequence[str],
    row_of: Callable[[Mapping[str, Any]], dict[str, Any]],
    about: Mapping[str, Any],
    overwrite: bool,
) -> dict[str, Any]:
    """Predicts all files that inputs name, and writes summary.csv and report.json.

    Args:
      inputs: Files and folders.
      found: What they name.
      results: Where results go.
      predict: Gives what NAME.json holds and the other files' content by name.
      columns: Of summary.csv.
      row_of: A record's row of it.
      about: What report.json says first, such as `bundle`, a path.
      overwrite: Predict again what is there already.

    Returns:
      What report.json holds; under `records` also what is known of each recording.

    Raises:
      WorkdirError: The results cannot be written.
    """

    def finish(
        account: dict[str, Any], records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        report = {**about, **account, "unsupported": found.unsupported}
        if records or account["failed"]:
            results.write_summary(columns, map(row_of, results.records), report)
        return {**report, "records": records}

    return res.process(
        results.named(inputs, found.paths),
        results,
        predict,
        finish,
        overwrite=overwrite,
    )


def source_of(
    job: jobs.Job, info: audio.AudioInfo, channel: audio.Channel
) -> dict[str, Any]:
    """Where a record comes from: its first entries."""
    return {
        "name": job.name,
        "source": job.path,
        "bytes": job.bytes,
        "modified": job.modified,
        "rate_hz": info.rate_hz,
        "channels": info.channels,
        "channel": channel,
        "duration_s": round(info.duration_s, 3),
    }


def notes_of(job: jobs.Job, **more: Any) -> list[str]:
    """What pictures say in colour: that a recording is simulated, and what else is.

    Args:
      job: The recording.
      **more: Whether to say what a name says, underscores for spaces.
    """
    simulated = (epath.Path(job.path).parent / "SIMULATED.txt").exists()
    told = {"simulated_recording": simulated, **more}
    return [name.replace("_", " ") for name, holds in told.items() if holds]


def doubts_of(record: Mapping[str, Any], rate_hz: int, what: str) -> list[str]:
    """What of a file's rate and channels puts all of its scores in doubt.

    Args:
      record: Begins with `source_of`.
      rate_hz: That the model takes.
      what: What the model is called.
    """
    found, own, channel = [], record["rate_hz"], record["channel"]
    if own < rate_hz:
        found.append(
            f"recorded at {own:,} Hz: nothing above {own / 2:,.0f} Hz is in it, where"
            f" the {what} listens to {rate_hz / 2:,.0f} Hz"
        )
    if record["channels"] > 1:
        taken = "their mean" if channel == "mean" else f"channel {channel}"
        found.append(f"{record['channels']} channels: {taken} is taken")
    return found


def table(
    report: Mapping[str, Any],
    lines_of: Callable[[Mapping[str, Any]], Iterable[str]],
    *,
    first: Sequence[str] = (),
    order: Callable[[Mapping[str, Any]], Any] | None = None,
) -> str:
    """The report as text: counts, what happened, and why files were not used.

    Args:
      report: Of `predict_each`.
      lines_of: What is to be said of a record.
      first: Lines before those of the records.
      order: Sorts the records; as they are without it.
    """
    told = res.counts(report, "recordings")
    told += [*res.reasons(report, "failed", "unsupported"), *first]
    records = report["records"]
    every = (doubt for record in records for doubt in record.get("doubts", ()))
    doubts = collections.Counter(every)
    told += [f"{count:,} recordings: {doubt}" for doubt, count in doubts.items()]
    shown = sorted(records, key=order) if order else records
    for record in shown[:_MOST_SHOWN]:
        told += lines_of(record)
    if len(records) > _MOST_SHOWN:
        told.append(f"and {len(records) - _MOST_SHOWN:,} more, in summary.csv")
    return "\n".join([*told, *res.others(report)])


def remarked(record: Mapping[str, Any]) -> list[str]:
    """Lines on what is wrong with windows of a record."""
    remarks = record["remarks"].items()
    return [f"  {count:,} windows: {remark}" for remark, count in remarks]


def bundle_of(bundle: epath.PathLike) -> dict[str, str]:
    """What report.json says first."""
    return {"bundle": plan.absolute(bundle)}
