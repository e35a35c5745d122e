"""Damaged checkpoints: noticed, set aside, named, and the one before is used."""

import pathlib
import shutil

import jax
import pytest
from etils import epath

from sigjax.train.checkpoint import Checkpointer, CheckpointError, latest_params
from sigjax.train.optim import OptimConfig
from tests.train.line import Line, assert_same, checkpoints, logged, make_trainer, plain


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with checkpoints at 2, 4 and 6, and the trainer that made it."""
    workdir = tmp_path_factory.mktemp("saved")
    trainer = make_trainer(workdir, checkpoint_every=2)
    trainer.run()
    return workdir, trainer


@pytest.fixture
def copy(saved, tmp_path):
    workdir = tmp_path / "copy"
    shutil.copytree(saved[0], workdir)
    return workdir


def empty(path):
    path.write_bytes(b"")


def shorten(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


# Orbax writes these two as it commits; they hold no data and nothing depends on them.
MARKS = {"_CHECKPOINT_METADATA", "commit_success.txt"}


@pytest.mark.parametrize("damage", [empty, shorten, flip, pathlib.Path.unlink])
def test_any_damaged_file_is_noticed(damage, saved, tmp_path, caplog):
    original, trainer = saved
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
        trainer.state,
    )
    newest = original / "checkpoints" / "6"
    files = [p for p in newest.rglob("*") if p.is_file()]
    names = sorted(str(p.relative_to(newest)) for p in files)
    assert {"files.json", "input/metadata", "state/manifest.ocdbt"} < set(names)
    assert any(name.startswith("state/ocdbt.process_0/d/") for name in names)
    for number, name in enumerate(names):
        workdir = tmp_path / str(number)
        shutil.copytree(original, workdir)
        damage(workdir / "checkpoints" / "6" / name)
        caplog.clear()
        checkpointer = Checkpointer(epath.Path(workdir))
        state, position = checkpointer.restore(abstract)
        checkpointer.close()
        if name in MARKS:
            assert position["step"] == 6, name
            assert_same(plain(state), plain(trainer.state))
        else:
            assert position["step"] == int(state.step) == 4, name
            assert checkpoints(workdir) == {"2", "4", "damaged-6"}
            assert f"{workdir}/checkpoints/6 cannot be read: " in caplog.text
            # What is left of the list itself may blame any file.
            assert name in caplog.text or name == "files.json"
            assert f"set aside as {workdir}/checkpoints/damaged-6" in caplog.text


def test_after_a_damaged_checkpoint_the_run_ends_as_it_would_have(saved, copy, caplog):
    original, trainer = saved
    data = max((copy / "checkpoints/6/state/ocdbt.process_0/d").iterdir(), key=_size)
    flip(data)
    again = make_trainer(copy, checkpoint_every=2)
    assert again.start_step == 4
    assert "does not match its checksum" in caplog.text
    again.run()
    assert checkpoints(copy) == {"2", "4", "6", "damaged-6"}
    assert_same(plain(again.state), plain(trainer.state))
    assert logged(copy) == logged(original)
    # The one that was written again may be damaged again.
    empty(copy / "checkpoints" / "6" / "state" / "_METADATA")
    assert make_trainer(copy, checkpoint_every=2).start_step == 4
    assert checkpoints(copy) == {"2", "4", "damaged-6", "damaged-6-again"}


def _size(path):
    return path.stat().st_size


def test_a_run_without_one_good_checkpoint_says_why_and_touches_nothing(copy):
    (copy / "checkpoints/2/files.json").unlink()
    flip(copy / "checkpoints/4/state/manifest.ocdbt")
    empty(copy / "checkpoints/6/input/metadata")
    with pytest.raises(CheckpointError) as refused:
        make_trainer(copy, checkpoint_every=2)
    assert str(copy) in str(refused.value)
    for reason in (
        "step 6: input/metadata has 0 bytes instead of",
        "step 4: state/manifest.ocdbt does not match its checksum",
        "step 2: files.json cannot be read",
    ):
        assert reason in str(refused.value)
    assert checkpoints(copy) == {"2", "4", "6"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"task": Line(width=20)}, r"kernel has shape \(24, 8\) there and \(20, 8\)"),
        (
            {"optim": OptimConfig(name="prodigy", learning_rate=1.0)},
            "there and nothing here",
        ),
    ],
)
def test_another_model_does_not_fit_and_says_so(other, message, copy):
    with pytest.raises(CheckpointError, match=f"6 is of another model.*{message}"):
        make_trainer(copy, **other)
    assert checkpoints(copy) == {"2", "4", "6"}


def test_damaged_parameters_are_not_exported(copy):
    assert latest_params(copy)[0] == 6
    data = max((copy / "checkpoints/6/state/ocdbt.process_0/d").iterdir(), key=_size)
    flip(data)
    with pytest.raises(CheckpointError, match="6 is damaged: .*; there are: 2, 4, 6"):
        latest_params(copy)
    assert latest_params(copy, 4)[0] == 4
