"""Preparation on Beam's DirectRunner gives what one process gives."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

import pytest

import launch.prepare
from sigjax.data import formats
from sigjax.data import store as stores
from sigjax.data.wearable import batch, jobs, plan
from tests.data.wearable_batch_test import CONFIG, write_e4
from tests.data.wearable_pool_test import content

pytest.importorskip("apache_beam", reason="preparation on Beam needs apache_beam")

# Beam's own, on import and in its portable runner.
pytestmark = pytest.mark.filterwarnings("default")

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIRECT = ["--runner=DirectRunner"]
MANY = [*DIRECT, "--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for number in range(5):
        write_e4(folder / f"S{number}" / "ACC.csv", seed=number)
    write_e4(folder / "S5" / "ACC.csv", seconds=10)
    (folder / "broken.cwa").write_bytes(b"MD")
    (folder / "notes.csv").write_text("some,text\n")
    return folder


def _prepare(raw, store, runner):
    paths, skipped = formats.find_recordings(raw)
    return batch.prepare_files(
        paths, store, CONFIG, root=raw, skipped=skipped, runner=runner
    )


def test_beam_gives_what_one_process_gives(raw, tmp_path):
    from sigjax.data.wearable import beam

    expected = _prepare(raw, tmp_path / "serial", batch.serial)
    assert (expected.used, len(expected.dropped), len(expected.unreadable)) == (5, 1, 1)
    report = _prepare(raw, tmp_path / "beam", beam.runner(DIRECT))
    assert report == expected
    assert content(tmp_path / "beam") == content(tmp_path / "serial")


def test_counters_tell_what_became_of_files(raw, tmp_path):
    from sigjax.data.wearable import beam

    settings = jobs.Settings(store=str(tmp_path / "store"), config=CONFIG)
    todo = plan.make_plan(formats.find_recordings(raw)[0], settings, root=raw)
    settings.writer()
    # One is there already, as after a retry.
    jobs.Process(settings)(next(j for j in todo.jobs if j.name == "S0_ACC"))
    result = beam.run(jobs.Process(settings), todo.jobs, DIRECT)
    counters = result.metrics().query()["counters"]
    counts = {c.key.metric.name: c.committed for c in counters}
    assert {c.key.metric.namespace for c in counters} == {beam.NAMESPACE}
    assert counts == {
        "used": 4,
        "already_there": 1,
        "dropped": 1,
        "unreadable": 1,
        "bytes": todo.bytes,
    }


def test_the_command_on_two_beam_processes(raw, tmp_path):
    store = tmp_path / "store"
    command = [sys.executable, "-m", "launch.prepare", "--beam"]
    command += [f"--input={raw}", f"--output={store}", "--min_wear_h=0.01"]
    command += ["--on_calibration_failure=keep", "--", *MANY]
    for already in (0, 6):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        report = json.loads((store / "report.json").read_text())
        assert (report["used"], report["already_there"]) == (5, already)
    _prepare(raw, tmp_path / "serial", batch.serial)
    assert content(store) == content(tmp_path / "serial")


def test_what_remote_workers_cannot_see_is_refused(raw, tmp_path):
    from sigjax.data.wearable import beam

    with pytest.raises(stores.StoreError, match="gs://"):
        _prepare(raw, tmp_path / "store", beam.runner(["--runner=DataflowRunner"]))
    settings = jobs.Settings(store=str(tmp_path / "elsewhere"), config=CONFIG)
    todo = plan.make_plan(formats.find_recordings(raw)[0], settings, root=raw)
    with pytest.raises(Exception, match="sees no store at .*elsewhere"):
        beam.run(jobs.Process(settings), todo.jobs, DIRECT)
    assert not (tmp_path / "elsewhere").exists()


def test_the_options_that_the_documentation_names_are_beams():
    from apache_beam.options import pipeline_options

    doc = launch.prepare.__doc__ or ""
    named = set(re.findall(r"--\w{3,}", doc[doc.index("Many machines") :]))
    named -= {"--input", "--output", "--beam", "--service_port"}
    assert {"--runner", "--flink_master", "--sdk_container_image"} <= named
    parser = argparse.ArgumentParser()
    for options in pipeline_options.PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    assert named <= set(parser._option_string_actions)
