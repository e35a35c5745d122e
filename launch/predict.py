r"""What did this person do, and when? Device files in, labels out.

    python -m launch.predict FILE.cwa FOLDER ... --bundle=runs/har/bundle \
        --output=predictions

Takes any number of device files, packed or not, and folders, which are searched with
all that is below them. The bundle is one of launch.finetune. OUTPUT then holds, for
each recording, NAME.csv (or .parquet) with a row per label window: time, label, its
probability and those of all classes, and whether the device was worn; NAME.png, the
same day by day; and NAME.json, where it comes from and how it was prepared.
summary.csv has a row per recording and day with hours per class, report.json says what
became of every file.

A device that is not worn has no activity: such rows have no label. Times are the
device's clock.

Files are prepared as the training data of the bundle were; see --calibration and
--nonwear_min. A file that cannot be read costs that file alone and is reported. Run
again, the command leaves alone what it has done with the same bundle and settings.
"""

import dataclasses
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from absl import app, flags
from etils import epath

from launch import prediction, prepare_flags, progress, runtime
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data import formats
from sigjax.data import recording as rec
from sigjax.data.wearable import calibration, jobs, names, plan
from sigjax.evals import timeline_figures
from sigjax.inference.base import BundleError, read_options
from sigjax.inference.classifier import ClassifierModel
from sigjax.train.checkpoint import CheckpointError
from sigjax.train.writer import WorkdirError

EXPECTED_ERRORS = (
    BundleError,
    CheckpointError,
    ConfigError,
    FileNotFoundError,
    ValueError,
    WorkdirError,
)
_MOST_SHOWN = 20


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("bundle", None, "Bundle of launch.finetune.")
    flags.DEFINE_string("output", "predictions", "Folder of the results.")
    flags.DEFINE_enum("format", "csv", ["csv", "parquet"], "Of the rows.")
    flags.DEFINE_float(
        "overlap",
        0.0,
        "Share of a window that the next one covers too; the probabilities of those"
        " that cover the same time are averaged. 0.9 takes ten times as long.",
        lower_bound=0.0,
        upper_bound=0.99,
    )
    flags.DEFINE_integer(
        "batch_size", 0, "Windows at a time; 0 chooses by device.", lower_bound=0
    )
    flags.DEFINE_enum(
        "calibration",
        None,
        calibration.METHODS,
        "How to calibrate. Default: as the training data were, or van_hees where those"
        " came calibrated.",
    )
    flags.DEFINE_float(
        "nonwear_min",
        None,
        "Stationary periods of more minutes are non-wear. Default: as for the training"
        " data, or 90 where those were not looked at.",
        lower_bound=0.0,
    )
    flags.DEFINE_bool("overwrite", False, "Predict again what is there already.")
    prepare_flags.define_reading()
    flags.mark_flag_as_required("bundle")


def open_bundle(path: epath.PathLike) -> ClassifierModel:
    """Loads a classifier.

    Raises:
      BundleError: There is no bundle, or it has no classes.
    """
    info = export.read_info(path)
    if info["model"] != "window_classifier":
        raise BundleError(
            f"{path} holds an encoder without classes (model {info['model']!r}): train"
            " a head with `python -m launch.finetune --config=configs/har_wrist.py"
            f" --config.encoder.weights={path} --config.data.dataset=SET --workdir=RUN`"
            " and give --bundle=RUN/bundle"
        )
    model = export.load(path)
    assert isinstance(model, ClassifierModel)
    return model


def find(
    inputs: Sequence[str], output: str, options: formats.ReadOptions
) -> tuple[list[str], list[tuple[str, str]], list[tuple[str, str]]]:
    """The device files that inputs name.

    Returns:
      Their paths; path and reason of named files that are none; and of files in
      folders that look like raw data but cannot be read.

    Raises:
      FileNotFoundError: An input does not exist.
    """
    # Results may lie among the files that they are made from.
    results = plan.absolute(output).rstrip("/") + "/"
    found, refused, unsupported = [], [], []
    for where in inputs:
        paths, skipped = formats.find_recordings(where, options)
        found += [plan.absolute(path) for path in paths]
        skipped = [(plan.absolute(path), why) for path, why in skipped]
        if epath.Path(where).is_dir():
            unsupported += skipped
        elif not paths:
            try:
                formats.read_recording(where, options)
            except (rec.FormatError, OSError) as error:
                refused.append((plan.absolute(where), prediction.reason(error, where)))
    kept = [path for path in dict.fromkeys(found) if not path.startswith(results)]
    unsupported = [s for s in unsupported if not s[0].startswith(results)]
    return kept, refused, unsupported


def _jobs(
    inputs: Sequence[str], paths: Sequence[str], results: prediction.Results
) -> list[jobs.Job]:
    folder = len(inputs) == 1 and epath.Path(inputs[0]).is_dir()
    root = plan.absolute(inputs[0]) if folder else None
    called = names.unique_names(paths, root)
    return [
        results.named(jobs.Job(path, name, size, modified))
        for (path, size, modified), name in zip(plan.stat(paths), called, strict=True)
    ]


def _predict_all(
    model: ClassifierModel,
    todo: Sequence[jobs.Job],
    settings: prediction.Settings,
    results: prediction.Results,
    batch_size: int | None,
) -> Iterator[jobs.Outcome]:
    """Predicts file after file; what a file is to blame for ends that file alone."""
    for job in todo:
        try:
            record, files = prediction.predict(model, job, settings, batch_size)
        except Exception as error:  # One odd file must not end a week's run.
            why = prediction.reason(error, job.path)
            yield jobs.Outcome(job, "unreadable", why, new=True)
            continue
        results.write(record, files)  # A full disk is not the file's fault.
        yield jobs.Outcome(job, "used", "", new=True)


def predict_files(
    inputs: Sequence[str],
    bundle: epath.PathLike,
    output: epath.PathLike,
    settings: prediction.Settings = prediction.Settings(),  # noqa: B008
    *,
    batch_size: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predicts all device files that `inputs` name, with results in `output`.

    Args:
      inputs: Files and folders.
      bundle: Of launch.finetune.
      output: Folder; see `launch.prediction`.
      settings: What results depend on. What `options` leave open is read as the
        bundle's training data were.
      batch_size: Windows at a time; chosen by device if None.
      overwrite: Predict again what is there already.

    Returns:
      What report.json holds; under `records` also what is known of each recording.

    Raises:
      BundleError: The bundle is none, or none of a classifier.
      FileNotFoundError: An input does not exist.
      WorkdirError: The results cannot be written.
    """
    model = open_bundle(bundle)
    settings = _completed(settings, model)
    paths, refused, unsupported = find(inputs, str(output), settings.options)
    results = prediction.Results(output, settings.key(bundle))
    every = _jobs(inputs, paths, results)
    there = [] if overwrite else [job for job in every if results.done(job)]
    todo = [job for job in every if job not in there]
    failed = list(refused)
    outcomes = _predict_all(model, todo, settings, results, batch_size)
    try:
        with progress.FilesBar(tuple(todo)) as bar:
            for outcome in outcomes:
                bar(outcome)
                if outcome.status != "used":
                    failed.append((outcome.job.path, outcome.reason))
    finally:
        records = [r for r in map(results.done, every) if r is not None]
        report = {
            "bundle": plan.absolute(bundle),
            "found": len(every) + len(refused),
            "used": len(records),
            "used_before": len(there),
            "failed": failed,
            "not_done": len(every) + len(refused) - len(records) - len(failed),
            "unsupported": unsupported,
            "not_calibrated": [
                (record["source"], record["calibration"]["reason"])
                for record in records
                if not record["calibration"]["ok"]
            ],
            "other_recordings": results.others,
            "settings": results.key,
        }
        if records or failed:
            results.write_summary(model.labels, report)
    return {**report, "records": records}


def _completed(
    settings: prediction.Settings, model: ClassifierModel
) -> prediction.Settings:
    if "read" not in model.info["preprocessing"]:
        return settings
    given, trained = settings.options, read_options(model.info)
    options = formats.ReadOptions(
        tz=given.tz or trained.tz, csv=given.csv or trained.csv
    )
    return dataclasses.replace(settings, options=options)


def table(report: dict[str, Any]) -> str:
    """The report as text: counts, hours, and why files were not used."""
    lines = [
        f"{label:<32}{count:>8,}"
        for label, count in (
            ("device files found", report["found"]),
            ("  predicted now", report["used"] - report["used_before"]),
            ("  predicted before", report["used_before"]),
            ("  failed", len(report["failed"])),
            ("other files, not supported", len(report["unsupported"])),
            ("not calibrated", len(report["not_calibrated"])),
        )
    ]
    for title in ("failed", "unsupported", "not_calibrated"):
        for path, why in report[title][:_MOST_SHOWN]:
            lines.append(f"  {title.replace('_', ' ')}: {path}: {why}")
        if len(report[title]) > _MOST_SHOWN:
            lines.append(f"  and {len(report[title]) - _MOST_SHOWN:,} more")
    for record in report["records"][:_MOST_SHOWN]:
        hours, shown = record["hours"], timeline_figures.duration
        parts = [
            f"{label} {shown(hours[f'hours_{label}'])}" for label in record["labels"]
        ]
        parts.append(f"not worn {shown(hours['non_wear_h'])}")
        parts.append(f"no data {shown(hours['no_data_h'])}")
        lines.append(f"{record['name']}: {', '.join(parts)}")
        if record["repeated_s"]:
            lines.append(
                f"  its clock was set back: {record['repeated_s']:,.0f} s occur twice"
            )
    if report["other_recordings"]:
        lines.append(
            f"{report['other_recordings']:,} recordings there are of another bundle or"
            " other settings, and not in summary.csv"
        )
    return "\n".join(lines)


def _run(inputs: Sequence[str]) -> dict[str, Any]:
    given = flags.FLAGS
    changes = {
        name: given[name].value
        for name in ("calibration", "nonwear_min")
        if given[name].value is not None
    }
    settings = prediction.Settings(
        format=given.format,
        overlap=given.overlap,
        options=prepare_flags.options(),
        person_regex=names.checked_regex(given.person_regex),
        changes=changes,
    )
    return predict_files(
        inputs,
        given.bundle,
        given.output,
        settings,
        batch_size=given.batch_size or None,
        overwrite=given.overwrite,
    )


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main(argv: list[str]) -> None:
    """Predicts what the arguments name."""
    if not argv[1:]:
        raise app.UsageError("name at least one device file or folder")
    runtime.start()
    if jax.process_index():
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        report = _run(argv[1:])
    except EXPECTED_ERRORS as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped; what was done is kept: run again to continue", file=sys.stderr)
        sys.exit(130)
    print(table(report))
    if report["used"]:
        print(f"\nresults: {flags.FLAGS.output.rstrip('/')}/summary.csv")
    else:
        sys.exit("error: no recording could be predicted")


if __name__ == "__main__":
    define_flags()
    app.run(main)
