"""Worker processes: what they do, and what becomes of a run when they or it die."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sigjax.data import store as stores
from sigjax.data import synthetic
from sigjax.data.wearable import batch, jobs, pool
from tests.data.pool_jobs import act
from tests.data.wearable_batch_test import CONFIG, write_e4

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _jobs(folder, *deeds):
    return [(number, deed, str(folder)) for number, deed in enumerate(deeds)]


def _pids(folder):
    return {int(pid) for path in folder.iterdir() for pid in path.read_text().split()}


def _alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_every_job_is_done_once_and_no_process_stays(tmp_path):
    jobs = _jobs(tmp_path, "meet", "meet", *["work"] * 18)
    assert sorted(pool.run(act, jobs, workers=2)) == list(range(20))
    assert len(list(tmp_path.iterdir())) == 20
    pids = _pids(tmp_path)
    assert len(pids) == 2 and os.getpid() not in pids
    assert not any(_alive(pid) for pid in pids)
    assert list(pool.run(act, [], workers=2)) == []


def test_workers_use_one_thread_no_jax_and_leave_ctrl_c_to_the_parent(tmp_path):
    before = dict(os.environ)
    ((threads, jax, handler),) = pool.run(act, _jobs(tmp_path, "settings"), workers=2)
    assert set(threads) == {"1"}
    assert not jax and handler == signal.SIG_IGN
    assert dict(os.environ) == before


def test_a_dead_worker_costs_its_own_job_alone(tmp_path):
    deeds = ["die once", "work", "exit", "work"]
    results = list(pool.run(act, _jobs(tmp_path, *deeds), workers=2))
    (died,) = (result for result in results if isinstance(result, pool.Died))
    assert died.job[0] == 2 and "exited with status 7" in died.reason
    runs = [len((tmp_path / f"{n}").read_text().split()) for n in range(4)]
    assert runs == [2, 1, 2, 1]
    # Second tries come after everything else.
    assert set(results[:2]) == {1, 3} and set(results[2:]) == {0, died}


def test_a_kill_for_memory_is_named(tmp_path):
    (died,) = pool.run(act, _jobs(tmp_path, "die"), workers=1)
    assert "SIGKILL" in died.reason and "memory" in died.reason


def test_what_a_job_raises_ends_the_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="job 1") as error:
        list(pool.run(act, _jobs(tmp_path, "wait", "raise"), workers=2))
    assert "In a worker process" in error.value.__notes__[0]
    assert not any(_alive(pid) for pid in _pids(tmp_path))
    with pytest.raises(pool.WorkerError, match="Local: odd"):
        jobs = _jobs(tmp_path, "raise what does not pickle")
        list(pool.run(act, jobs, workers=2))


def test_workers_that_cannot_start_are_an_error_not_a_loop(tmp_path, monkeypatch):
    (tmp_path / "module_that_goes.py").write_text("def work(job): return job\n")
    monkeypatch.syspath_prepend(tmp_path)
    import module_that_goes  # pyright: ignore[reportMissingImports]

    (tmp_path / "module_that_goes.py").unlink()
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    with pytest.raises(pool.WorkerError, match="could not start.*__main__"):
        list(pool.run(module_that_goes.work, [1], workers=1))


def test_workers_end_when_the_caller_loses_interest(tmp_path):
    results = pool.run(act, _jobs(tmp_path, "work", "wait"), workers=2)
    assert next(iter(results)) == 0
    _wait(lambda: (tmp_path / "1").exists())
    results.close()
    assert not any(_alive(pid) for pid in _pids(tmp_path))


def test_workers_end_with_a_killed_parent_in_the_middle_of_a_job(tmp_path):
    script = (
        "from sigjax.data.wearable import pool; from tests.data.pool_jobs import act;"
        f"list(pool.run(act, {_jobs(tmp_path, 'wait', 'wait')}, workers=2))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    _wait(lambda: len(list(tmp_path.iterdir())) == 2 and len(_pids(tmp_path)) == 2)
    assert all(map(_alive, _pids(tmp_path)))
    process.kill()
    process.wait()
    _wait(lambda: not any(map(_alive, _pids(tmp_path))), 10)


def test_fewer_workers_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(pool.store_layout, "usable_cores", lambda: 16)
    monkeypatch.setattr(pool, "_available_gb", lambda: 100.0)
    assert pool.default_workers() == (16, "16 cores")
    monkeypatch.setattr(pool, "_available_gb", lambda: 3.0)
    few, why = pool.default_workers()
    assert few == 3 and "3.0 GB of memory" in why and "--workers" in why
    monkeypatch.setattr(pool, "_available_gb", lambda: 0.1)
    assert pool.default_workers()[0] == 1


def test_available_memory_is_that_of_this_machine():
    memory_gb = pool._available_gb()
    assert memory_gb is not None and 0.05 < memory_gb < 1e5


def test_many_processes_give_what_one_gives(tmp_path):
    for number in range(4):
        write_e4(tmp_path / "raw" / f"S{number}" / "ACC.csv", seed=number)
    (tmp_path / "raw" / "broken.cwa").write_bytes(b"MD")
    paths = sorted((tmp_path / "raw").rglob("*.*"))
    one = batch.prepare_files(paths, tmp_path / "one", CONFIG)
    two = batch.prepare_files(paths, tmp_path / "two", CONFIG, runner=batch.on_cores(2))
    assert dataclasses.asdict(one) == dataclasses.asdict(two)
    assert one.used == 4 and len(one.unreadable) == 1
    assert content(tmp_path / "one") == content(tmp_path / "two")


def content(store):
    """All of a store but clocks and what depends on them."""
    found = {}
    for path in sorted(pathlib.Path(store).rglob("*")):
        name = str(path.relative_to(store))
        if path.is_dir() or name.startswith(("index.", "prepare.lock", "report.")):
            continue
        data = path.read_bytes()
        if path.suffix == ".json":
            row = json.loads(data)
            row.pop("seconds", None)
            row.get("quality", {}).pop("seconds", None)
            data = json.dumps(row).encode()
        found[name] = data
    found["fingerprint"] = stores.Store.open(store).fingerprint
    return found


# --- The command, killed -------------------------------------------------------------


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Six recordings of half a day: half a second of work each."""
    folder = tmp_path_factory.mktemp("raw")
    synthetic.simulate_recordings(folder, people=1, days=0.5, seed=0)
    first = folder / "P001.cwa"
    for number in range(2, 7):
        shutil.copy(first, folder / f"P{number:03d}.cwa")
    (folder / "broken.cwa").write_bytes(b"MD")
    return folder


def _command(raw, store, workers=2):
    flags = [f"--input={raw}", f"--output={store}", f"--workers={workers}"]
    flags += ["--min_wear_h=1", "--on_calibration_failure=keep"]
    return [sys.executable, "-m", "launch.prepare", *flags]


def _start(raw, store):
    # A shell starts what it puts into the background with SIGINT ignored, and that is
    # inherited: by these tests, and then by what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            _command(raw, store), cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _run(raw, store):
    done = subprocess.run(
        _command(raw, store), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads((store / "report.json").read_text())


def _children(pid):
    """Worker processes of a run."""
    found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    spawned = (pathlib.Path(f"/proc/{child}/cmdline") for child in found)
    return [int(p.parent.name) for p in spawned if b"spawn_main" in p.read_bytes()]


def _complete(store):
    return {p: p.stat().st_mtime_ns for p in store.glob("recordings/*/recording.json")}


@pytest.fixture(scope="module")
def uninterrupted(raw, tmp_path_factory):
    store = tmp_path_factory.mktemp("stores") / "store"
    report = _run(raw, store)
    assert (report["used"], len(report["unreadable"])) == (6, 1)
    return store


@pytest.mark.survival
def test_killed_at_any_moment_a_run_is_continued(raw, uninterrupted, tmp_path):
    store = tmp_path / "store"
    moments = (
        lambda: (store / "store.json").exists(),
        lambda: any(store.glob("recordings/*/0/c/*/*")),
        lambda: len(_complete(store)) >= 2,
    )
    before = {}
    for moment in moments:
        process = _start(raw, store)
        _wait(moment)
        workers = _children(process.pid)
        process.kill()
        process.communicate()
        # Without their parent they stop, whatever they are doing.
        _wait(lambda workers=workers: not any(map(_alive, workers)), 10)
        after = _complete(store)
        assert before.items() <= after.items(), "a recording was done again"
        before = after
    assert 2 <= len(before) < 6
    report = _run(raw, store)
    assert before.items() <= _complete(store).items()
    assert (report["already_there"], report["prepared"]) == (
        len(before),
        6 - len(before),
    )
    assert content(store) == content(uninterrupted)


@pytest.mark.survival
def test_a_killed_worker_does_not_end_the_run(raw, uninterrupted, tmp_path):
    store = tmp_path / "store"
    process = _start(raw, store)
    _wait(lambda: any(store.glob("recordings/*/0")))
    os.kill(_children(process.pid)[0], signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert content(store) == content(uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_leaves_no_process(raw, tmp_path, number):
    store = tmp_path / "store"
    process = _start(raw, store)
    _wait(lambda: len(_complete(store)) >= 1)
    workers = _children(process.pid)
    assert len(workers) == 2
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate()
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert "run again to continue" in errors and "Traceback" not in errors
    assert not any(map(_alive, workers))
    with pytest.raises(stores.StoreError, match="unfinished"):
        stores.Store.open(store)


def test_a_second_run_at_the_same_time_is_refused(raw, tmp_path):
    store = tmp_path / "store"
    process = _start(raw, store)
    _wait(lambda: any(store.glob("recordings/*/0")))
    process.send_signal(signal.SIGSTOP)  # Or it may be done before the second asks.
    second = subprocess.run(
        _command(raw, store), cwd=ROOT, capture_output=True, text=True
    )
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert second.returncode == 1
    assert f"process {process.pid}" in second.stderr
    assert "another preparation writes to this store" in second.stderr
    assert "Traceback" not in second.stderr


def test_two_writers_of_one_recording_do_not_harm_each_other(tmp_path):
    """As on a Beam runner that starts a recording again while it is being written."""
    rng = np.random.default_rng(0)
    path = write_e4(tmp_path / "ACC.csv")

    prepared = jobs.prepare_file(path, CONFIG, name="x")
    acceleration = rng.normal(size=(100_000, 3)).astype(np.float32)
    segment = dataclasses.replace(prepared.segments[0], acceleration=acceleration)
    prepared = dataclasses.replace(prepared, segments=(segment,))
    one, two = (
        stores.StoreWriter(tmp_path / "store", rate_hz=30.0, description={})
        for _ in range(2)
    )
    one.write(prepared)
    written = sorted((tmp_path / "store").rglob("c/*/*"))
    # The second has begun (no recording.json) and stops before it has written an array.
    original, two._write_array = two._write_array, None
    with pytest.raises(TypeError):
        two.write(prepared)
    assert sorted((tmp_path / "store").rglob("c/*/*")) == written
    two._write_array = original
    two.write(prepared)
    store = one.finish()
    np.testing.assert_allclose(
        store.read(store.entries[0], 0, 0, 1000) / 2048, acceleration[:1000], atol=3e-4
    )
