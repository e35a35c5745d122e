"""Preparation on Apache Beam: the jobs of one run, spread over many machines.

Needs the extra `beam`. Workers need sigjax; see `launch.prepare` for how they get it.
"""

import socket
import threading
from collections.abc import Sequence

import apache_beam as beam  # pyright: ignore[reportMissingImports]
from apache_beam.options import (  # pyright: ignore[reportMissingImports]
    pipeline_options,
)

from sigjax.data import store_layout
from sigjax.data.store import StoreError
from sigjax.data.wearable import batch, jobs, pool

NAMESPACE = "sigjax.prepare"
# A worker process has many threads, and a recording takes 1 GB.
_ONE_AT_A_TIME = threading.Lock()


def runner(arguments: Sequence[str]) -> batch.Runner:
    """Runs jobs on Beam, with the options that `arguments` give as flags.

    Outcomes are not sent back: they stand in the store.
    """

    def run_all(process: jobs.Process, todo: Sequence[jobs.Job]) -> tuple[()]:
        run(process, todo, arguments)
        return ()

    return run_all


def run(
    process: jobs.Process, todo: Sequence[jobs.Job], arguments: Sequence[str]
) -> "beam.runners.runner.PipelineResult":
    """Runs jobs on Beam and waits for their end.

    Args:
      process: Of a store that has been begun.
      todo: What to do.
      arguments: Flags of the runner.

    Returns:
      The pipeline's result. Its metrics count files `used`, `dropped` and
      `unreadable`, those `already_there`, and `bytes`, in the namespace `NAMESPACE`.

    Raises:
      StoreError: Workers cannot see the store or the files, or the pipeline failed.
    """
    options = pipeline_options.PipelineOptions(list(arguments))
    # All that workers run is in modules.
    options.view_as(pipeline_options.SetupOptions).save_main_session = False
    name = options.view_as(pipeline_options.StandardOptions).runner or "DirectRunner"
    if "Dataflow" in name:
        _check_remote([process.settings.store, *(job.path for job in todo)], name)
    with pool.single_threaded():
        pipeline = beam.Pipeline(options=options)
        _ = (
            pipeline
            # As plain tuples: a named one would become a Beam row on the way.
            | "Files" >> beam.Create([tuple(job) for job in todo])
            | "Spread" >> beam.Reshuffle()
            | "Prepare" >> beam.ParDo(_Prepare(process))
        )
        result = pipeline.run()
        state = result.wait_until_finish()
    if state not in (None, beam.runners.runner.PipelineState.DONE):
        raise StoreError(
            f"{process.settings.store}: the Beam pipeline ended as {state}; what it"
            " prepared is kept: run again to continue"
        )
    return result


def _check_remote(paths: Sequence[str], name: str) -> None:
    for path in paths:
        if "://" not in path:
            raise StoreError(
                f"{path} is a path of this machine, which the workers of {name} cannot"
                " see: give --input and --output as gs:// URLs"
            )


class _Prepare(beam.DoFn):
    """Does jobs, one at a time in each process."""

    def __init__(self, process: jobs.Process):
        self._process = process
        self._counters = {
            key: beam.metrics.Metrics.counter(NAMESPACE, key)
            for key in ("used", "dropped", "unreadable", "already_there", "bytes")
        }

    def setup(self) -> None:
        store = self._process.settings.store
        if store_layout.read_header(self._process.files) is None:
            raise StoreError(
                f"the worker on {socket.gethostname()} sees no store at {store}: put it"
                " on storage that all workers share"
            )

    def process(self, element: tuple) -> None:
        with _ONE_AT_A_TIME:
            outcome = self._process(jobs.Job(*element))
        self._counters[outcome.status if outcome.new else "already_there"].inc()
        self._counters["bytes"].inc(outcome.job.bytes)
