r"""Prepares wrist recordings for training.

    python -m launch.prepare --input=FOLDER --output=STORE --preset=paper

FOLDER is searched with all that is below it; a file or a pattern such as
'raw/*/ACC.csv' works too. FOLDER and STORE may be in a bucket (gs://, s3://; pip
install gcsfs or s3fs). Run again with the same flags, the command continues where it
was stopped, even by `kill -9`, and adds files that are new; files that could not be
read are tried again. STORE/report.html shows what became of every file, report.csv and
report.parquet have a row for each, and report.json says what this run did.

Every constant of the preset is a flag: --lowpass_hz=none, --stationary_sd_g=0.015. A
store holds recordings that were prepared in one way: other constants, another --tz or
--csv need another store.

One machine: --workers processes, each with one thread and just under 1 GB of memory for
a week at 100 Hz; as many as there are cores, or fewer where memory does not suffice. A
worker that dies (out of memory, say) costs its file alone: it is tried once more on
its own at the end, and is reported as unreadable if that fails.

Many machines: `pip install '.[beam]'` in a clone and --beam, everything after `--`
being options of Apache Beam. The program that is started here finds the files, waits
for the runner, and then writes the store's index and report.

    python -m launch.prepare --input=raw --output=store --beam -- \
        --runner=DirectRunner --direct_running_mode=multi_processing \
        --direct_num_workers=4

Remote workers need sigjax and its dependencies. Either bake them into an image
(FROM apache/beam_python3.11_sdk:2.77.0; COPY . /sigjax; RUN pip install /sigjax) and
name it with --sdk_container_image, or build a wheel (`pip wheel --no-deps -w dist .`)
and send it with --extra_package, which installs it and its dependencies when a worker
starts. The Python of the workers must be the one that submits. A process prepares one
recording at a time, however many threads the runner gives it: 2 GB of memory per
process are plenty.

  Dataflow  ... --input=gs://B/raw --output=gs://B/store --beam -- \
                --runner=DataflowRunner --project=P --region=europe-west2 \
                --temp_location=gs://B/tmp --machine_type=n1-standard-8 \
                --max_num_workers=100 --sdk_container_image=IMAGE \
                --number_of_worker_harness_threads=1
            Starts one process per virtual CPU. `pip install 'apache-beam[gcp]'`.
  Flink     ... --beam -- --runner=FlinkRunner --flink_master=HOST:8081 \
                --flink_version=1.20 --parallelism=64 \
                --environment_type=DOCKER --environment_config=IMAGE
  Spark     ... --beam -- --runner=SparkRunner --spark_master_url=spark://HOST:7077 \
                --environment_type=DOCKER --environment_config=IMAGE
            Starts a Beam job server here, which needs Java. On a cluster that runs
            one: --runner=PortableRunner --job_endpoint=HOST:8099.

Flink and Spark also take workers without Docker, on machines with sigjax and a shared
file system: --environment_type=EXTERNAL --environment_config=HOST:PORT, where
`python -m apache_beam.runners.worker.worker_pool_main --service_port=PORT` runs.
"""

import collections
import re
import sys

from absl import app, flags
from etils import epath

from launch import command, progress
from launch.wrist import prepare_flags
from sigjax.data import formats
from sigjax.data.wearable import batch, jobs, plan, pool, prepare


def _root(where: str) -> str | None:
    """The folder that names start from, the same whichever files it holds today."""
    if epath.Path(where).is_dir():
        return where
    fixed = re.split(r"[*?\[]", where, maxsplit=1)[0]
    return fixed.rpartition("/")[0] or "." if fixed != where else None


def table(report: batch.Report) -> str:
    """The report as text: counts, hours, and why files were not used."""
    rows = [
        ("device files found", report.found),
        ("  used", report.used),
        ("    of these prepared now", report.prepared),
        ("  dropped", len(report.dropped)),
        ("  unreadable", len(report.unreadable)),
        ("other files, not supported", len(report.unsupported)),
        ("in the store before", report.already_there),
        ("in the store: segments", report.segments),
        ("  persons", report.persons),
    ]
    lines = [f"{label:<32}{count:>10,}" for label, count in rows]
    for key, hours in report.hours.items():
        label = f"hours {key.replace('_', ' ')}"
        lines.append(f"{label:<32}{hours:>10,.2f}")
    for title in ("dropped", "unreadable", "unsupported"):
        # "not calibrated (3 stationary windows, ...)": one line for each kind.
        kinds = collections.defaultdict(list)
        for loss in getattr(report, title):
            kinds[loss[1].split(" (")[0]].append(loss)
        for kind, (first, *more) in kinds.items():
            lines.append(f"{len(more) + 1:>6,} {title}: {kind}; {': '.join(first)}")
    return "\n".join(lines)


def _summary(todo: plan.Plan) -> str:
    """What a run would do, as text."""
    rows = [
        ("files to prepare", f"{len(todo.jobs):,}"),
        ("  gigabytes", f"{todo.bytes / 1e9:,.3f}"),
        ("in the store already", f"{len(todo.there):,}"),
        ("other files, not supported", f"{len(todo.unsupported):,}"),
    ]
    lines = [f"{label:<32}{value:>10}" for label, value in rows]
    lines += [f"  {job.path} -> {job.name}" for job in todo.jobs[:20]]
    if len(todo.jobs) > 20:
        lines.append(f"  and {len(todo.jobs) - 20:,} more")
    return "\n".join(lines)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("input", None, "Folder, file or pattern of device files.")
    flags.DEFINE_string("output", None, "Folder or URL of the store.")
    flags.DEFINE_enum(
        "preset", "paper", sorted(prepare.PRESETS), "Whose preprocessing to follow."
    )
    prepare_flags.define_config()
    prepare_flags.define_reading()
    flags.DEFINE_integer(
        "workers",
        0,
        "Processes; 0 for as many as cores and memory allow.",
        lower_bound=0,
    )
    flags.DEFINE_bool("dry_run", False, "Say what would be done, and write nothing.")
    flags.DEFINE_bool("beam", False, "Run on Apache Beam, with the options after --.")
    flags.mark_flags_as_required(["input", "output"])


def _runner(todo: plan.Plan, beam_options: list[str]) -> batch.Runner:
    if flags.FLAGS.beam:
        # An extra that only this needs.
        from sigjax.data.wearable import beam

        return beam.runner(beam_options)
    workers, why = flags.FLAGS.workers, ""
    if not workers:
        workers, why = pool.default_workers()
    workers = min(workers, len(todo.jobs))
    if workers > 1:
        print(f"{workers} workers; {why}".rstrip("; "), file=sys.stderr)
    return batch.on_cores(workers)


def _prepare(beam_options: list[str]) -> None:
    options = prepare_flags.options()
    paths, skipped = formats.find_recordings(flags.FLAGS.input, options)
    # A store may lie among what it is made from; its own tables are no device files.
    store = plan.absolute(flags.FLAGS.output).rstrip("/") + "/"
    paths = [path for path in paths if not plan.absolute(path).startswith(store)]
    skipped = [s for s in skipped if not plan.absolute(s[0]).startswith(store)]
    settings = jobs.Settings(
        store=flags.FLAGS.output,
        config=prepare_flags.config(prepare.PRESETS[flags.FLAGS.preset]),
        options=options,
        person_regex=flags.FLAGS.person_regex,
        concurrency=1,
    )
    todo = plan.make_plan(
        paths, settings, root=_root(flags.FLAGS.input), skipped=skipped
    )
    if flags.FLAGS.dry_run:
        print(_summary(todo))
        return
    runner = _runner(todo, beam_options)
    try:
        # Beam's runners have displays of their own.
        with progress.FilesBar(() if flags.FLAGS.beam else todo.jobs) as bar:
            report = batch.execute(todo, runner, bar)
    except batch.NothingPreparedError:
        _write_report(settings.store)
        raise
    if todo.jobs or todo.index is None:
        _write_report(settings.store)
    print(table(report))
    print(f"\nreport: {flags.FLAGS.output.rstrip('/')}/report.html")


def _write_report(store: str) -> None:
    # Here, because workers import this module and need no plotting library.
    from sigjax.data.wearable import report

    report.write(store)


def main(argv: list[str]) -> None:
    """Prepares what the flags name."""
    if argv[1:] and not flags.FLAGS.beam:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
    errors = (FileNotFoundError, ValueError, pool.WorkerError)
    stopped = "stopped; what was prepared is kept: run again to continue"
    with command.told(errors, stopped):
        _prepare(argv[1:])


if __name__ == "__main__":
    define_flags()
    app.run(main)
