"""Full disks, NaN and impossible settings: what is kept and what is said."""

import gc
import hashlib
import json
import os
import shutil
import subprocess
import time
import warnings

import ml_collections
import pytest
from etils import epath

from configs import mae_wrist
from launch import runtime
from launch.pretrain import EXPECTED_ERRORS, pretrain
from sigjax.train.checkpoint import CheckpointError, latest_params
from sigjax.train.config import TrainConfig
from sigjax.train.meter import NonFiniteError
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshError
from sigjax.train.writer import WorkdirError, prepare_workdir, replace_file
from tests.train.line import (
    Recorder,
    assert_same,
    checkpoints,
    logged,
    make_trainer,
    plain,
)
from tests.train.toy import ToyData

# --- full disks and paths that cannot be written ---


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"mounting a small tmpfs is not possible here: {error}")
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {done.stderr}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk, spare):
    """Leaves `spare` bytes free on `disk`."""
    room = shutil.disk_usage(disk).free - spare
    (disk / "filler").write_bytes(bytes(room))


def filling(workdir, *, after, spare):
    """Data that fill the disk once the checkpoint of step `after` is written."""

    def act():
        while not (workdir / "checkpoints" / str(after)).exists():
            time.sleep(0.01)
        fill(workdir.parent, spare)

    return Recorder(ToyData(batch_size=4), at=after + 1, action=act)


def stop(kind, workdir, **options):
    """What a run that must end with this error says."""
    try:
        make_trainer(workdir, **options).run()
    except kind as error:
        said = str(error)
    else:
        pytest.fail("it ran to the end")
    # Orbax abandons coroutines and an event loop when a write fails: their warnings
    # shall come now, while they are ignored.
    gc.collect()
    return said


# Orbax's abandoned writes, see `stop`.
abandons_writes = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


# Steps 6: the failure of the thread that writes shows when the run ends; 9: at the
# next checkpoint.
@abandons_writes
@pytest.mark.parametrize("steps", [6, 9])
def test_a_checkpoint_on_a_full_disk(steps, small_disk, tmp_path):
    expected = make_trainer(tmp_path / "whole", steps=steps)
    expected.run()
    workdir = small_disk / "run"
    data = filling(workdir, after=3, spare=40_000)
    # keep: even the one checkpoint that the next would have replaced stays.
    said = stop(CheckpointError, workdir, data=data, steps=steps, keep=1)
    assert said.startswith(f"cannot write a checkpoint under {workdir}/checkpoints: ")
    assert "No space left on device" in said
    assert "The last good checkpoint: step 3 is intact" in said
    assert latest_params(workdir, 3)[0] == 3
    (small_disk / "filler").unlink()
    again = make_trainer(workdir, steps=steps)
    assert again.start_step == 3
    again.run()
    assert_same(plain(again.state), plain(expected.state))
    assert logged(workdir) == logged(tmp_path / "whole")


@abandons_writes  # the checkpoint with which the run tries to end
def test_a_log_line_on_a_full_disk(small_disk):
    workdir = small_disk / "run"
    data = filling(workdir, after=3, spare=0)
    options = {"steps": 40, "keep_every": 3, "checkpoint_every": 3}
    make_trainer(workdir, **options | {"steps": 3}).run()
    options["checkpoint_every"] = 1000
    said = stop(WorkdirError, workdir, data=data, **options)
    assert f"cannot write {workdir}/" in said and "No space left on device" in said
    assert f"Last good checkpoint: step 3 in {workdir}." in said
    (small_disk / "filler").unlink()
    make_trainer(workdir, **options).run()
    assert [row["step"] for row in logged(workdir)] == list(range(1, 41))


def test_a_file_is_replaced_whole_or_not_at_all(small_disk):
    path = epath.Path(small_disk) / "config.json"
    replace_file(path, b"before")
    fill(small_disk, 0)
    with pytest.raises(WorkdirError, match="config.json.*No space left on device"):
        replace_file(path, bytes(10_000))
    assert path.read_bytes() == b"before"
    with pytest.raises(WorkdirError, match="No space left on device"):
        prepare_workdir(small_disk)


@pytest.mark.survival
def test_the_command_on_a_full_disk_ends_with_a_message(command, small_disk):
    process = command.start(small_disk / "run", "--config.train.keep=20")
    assert process.wait() == 1
    # A callback of Orbax that comes too late may print a traceback besides.
    (said,) = [s for s in process.output.splitlines() if s.startswith("error: ")]
    assert "cannot write" in said and "No space left on device" in said
    assert "ast good checkpoint: step " in said


@pytest.mark.parametrize("parent", ["file", "/proc/sigjax"])
def test_a_workdir_that_cannot_be_made(parent, tmp_path):
    (tmp_path / "file").write_text("")
    workdir = tmp_path / parent / "run"
    with pytest.raises(WorkdirError, match=f"cannot write to --workdir={workdir}: "):
        pretrain(minute(), workdir)


def test_something_else_where_the_run_writes(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(CheckpointError, match=f"cannot open {tmp_path}/checkpoints"):
        make_trainer(tmp_path)
    (tmp_path / "checkpoints").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(WorkdirError, match=f"cannot read {tmp_path}/metrics.jsonl"):
        make_trainer(tmp_path).run()


def test_a_relative_workdir_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepare_workdir("runs/a") == epath.Path(tmp_path / "runs" / "a")
    trainer = make_trainer(prepare_workdir("runs/a"), steps=1)
    trainer.run()
    assert checkpoints(tmp_path / "runs" / "a") == {"1"}


def test_a_damaged_config_file_does_not_stop_the_run(tmp_path):
    (tmp_path / "config.json").write_text("")
    with pytest.warns(UserWarning, match="former config.json is damaged"):
        runtime.save_config(epath.Path(tmp_path), minute())
    with warnings.catch_warnings():
        runtime.save_config(epath.Path(tmp_path), minute())
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["config"]["system"] == "wrist_mae"
    assert (tmp_path / "config.before.json").read_text() == ""


# --- values that are not finite ---


# Batch 4 is trained on in step 5; at 5 and 6 a checkpoint of that very step is due.
@pytest.mark.parametrize(("poison", "every"), [(4, 3), (4, 5), (5, 3)])
def test_nan_names_its_step_and_nothing_is_saved_after_it(poison, every, tmp_path):
    data = ToyData(batch_size=4, poison_step=poison)
    trainer = make_trainer(
        tmp_path, data=data, steps=30, checkpoint_every=every, log_every=1000
    )
    with pytest.raises(NonFiniteError) as stopped:
        trainer.run()
    said = str(stopped.value)
    assert f"not finite at step {poison + 1}: " in said
    assert "loss=nan" in said and "mae=nan" in said
    good = {"3"} if every == 3 else set()
    assert checkpoints(tmp_path) == good
    wanted = f"step 3 in {tmp_path}" if good else "none yet"
    assert f"Last good checkpoint: {wanted}." in said
    assert [row["step"] for row in logged(tmp_path)] == [int(s) for s in good]
    if good:
        assert make_trainer(tmp_path, steps=30).start_step == 3


def test_a_state_that_is_not_finite_is_noticed_before_any_loss(tmp_path):
    # Adam without eps divides zero by zero where a parameter has no gradient.
    optim = OptimConfig(name="adamw", learning_rate=1e-2, eps=0.0)
    trainer = make_trainer(tmp_path, optim=optim, checkpoint_every=1)
    with pytest.raises(NonFiniteError, match="at step 1: update_norm=nan"):
        trainer.run()
    assert checkpoints(tmp_path) == set()


# --- settings that cannot be ---


def minute(**changes):
    """The config's variant, changed as no flag could; sections by name."""
    config = mae_wrist.get_config("minute")
    config.mesh.data = 1
    for section, values in changes.items():
        config[section] = ml_collections.ConfigDict(config[section].to_dict() | values)
    return config


def unfinished(path, store):
    path.mkdir()
    shutil.copy(store / "store.json", path)


def without_recordings(path, store):
    unfinished(path, store)
    (path / "index.jsonl").write_bytes(b"")
    digest = hashlib.sha256(b"").hexdigest()
    (path / "index.sha256").write_text(f"{digest}  index.jsonl\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path, store: None, "no store here"),
        (unfinished, "writing is unfinished"),
        (without_recordings, "holds no recordings"),
    ],
)
def test_a_store_without_recordings(make, message, store, tmp_path):
    make(tmp_path / "store", store)
    config = minute(data={"store": str(tmp_path / "store")})
    with pytest.raises(EXPECTED_ERRORS, match=f"{tmp_path}/store.*{message}"):
        pretrain(config, tmp_path / "run")


def test_recordings_shorter_than_a_window(short_store, tmp_path):
    config = minute(data={"store": str(short_store)})
    with pytest.raises(EXPECTED_ERRORS, match=r"none of 2 .* of 60.0 s; .* 30.0 s"):
        pretrain(config, tmp_path)
    config = minute(data={"store": str(short_store), "crop_s": 30.0})
    with pytest.raises(EXPECTED_ERRORS, match="shorter than one window"):
        pretrain(config, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"wdith": 3}}, "unknown config key 'model.wdith'"),
        ({"model": {"width": "wide"}}, "'model.width' must be int, got str 'wide'"),
        ({"train": {"steps": 0}}, "steps must be at least 1, got 0"),
        ({"train": {"evaluate_every": 0}}, "evaluate_every must be at least 1"),
        ({"train": {"epochs": 0.0}}, "epochs must be above 0"),
        ({"mesh": {"data": 64}}, "data=64, fsdp=1, tensor=1 does not divide"),
        ({"mesh": {"data": 0}}, "must be positive and at most one -1"),
    ],
)
def test_settings_that_cannot_be(changes, message, store, tmp_path):
    config = minute(data={"store": str(store)}, **changes)
    with pytest.raises(EXPECTED_ERRORS, match=message):
        pretrain(config, tmp_path)


def test_microbatches_that_do_not_divide(tmp_path):
    with pytest.raises(MeshError, match="accumulation=3 does not divide a batch of 4"):
        make_trainer(tmp_path, accumulation=3)
    with pytest.raises(ValueError, match="keep_every must be at least 1, got 0"):
        TrainConfig(keep_every=0)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.model.wdith=3", 'Did you mean "width" instead of "wdith"?'),
        ("--config.train.steps=ten", "--config.train.steps=ten"),
        ("--config.mesh.fsdp=3", "mesh data=-1, fsdp=3, tensor=1 does not divide"),
    ],
)
def test_the_command_ends_with_a_message(flag, message, command, tmp_path):
    process = command.start(tmp_path, flag)
    assert process.wait() == 1
    assert message in process.output
    assert "Traceback" not in process.output


def test_nothing_is_left_of_a_refused_run(tmp_path):
    with pytest.raises(EXPECTED_ERRORS):
        pretrain(minute(model={"wdith": 3}), tmp_path / "run")
    assert os.listdir(tmp_path) == []
