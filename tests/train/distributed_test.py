"""Several devices and several processes train the same as one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from launch.runtime import distributed_arguments
from sigjax.train.checkpoint import latest_params
from tests.train.commands import EVERY, ROOT, STEPS
from tests.train.line import logged, plain

# --- eight devices ---


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What `eight_devices.py` reports; one process for all meshes."""
    folder = tmp_path_factory.mktemp("eight")
    # Level 0 compiles twice as fast; it moves results by a rounding.
    options = ("force_host_platform_device_count=8", "backend_optimization_level=0")
    env = {
        "XLA_FLAGS": " ".join(f"--xla_{option}" for option in options),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "xla"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.eight_devices", str(folder)],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((folder / "report.json").read_text())
    assert report["devices"] == 8
    return report


# The mesh, microbatches, and what each device holds of three kernels.
PARTS = {
    "(8, 1, 1) 1": {"qkv": [2, 16, 48], "embed": [48, 16], "head": [16, 48]},
    "(1, 8, 1) 1": {"qkv": [2, 2, 48], "embed": [48, 2], "head": [2, 48]},
    "(1, 1, 8) 1": {"qkv": [2, 16, 6], "embed": [48, 16], "head": [16, 48]},
    "(2, 2, 2) 2": {"qkv": [2, 8, 24], "embed": [48, 8], "head": [8, 48]},
}


@pytest.mark.survival
@pytest.mark.parametrize("case", PARTS)
def test_a_mesh_equals_one_device(case, eight):
    found = eight["meshes"][case]
    np.testing.assert_allclose(found["loss"], eight["loss"], rtol=1e-5)
    assert len(found["loss"]) == 4
    assert 0 < found["state"] < 1e-5  # 0 would mean that nothing was divided


@pytest.mark.survival
@pytest.mark.parametrize("case", PARTS)
def test_parameters_and_their_moments_are_divided(case, eight):
    found = eight["meshes"][case]["shards"]
    assert len(found) == 9
    for name, parts in found.items():
        _, layer, _ = name.split(" ", 2)
        assert parts == [PARTS[case][layer]], name


@pytest.mark.survival
def test_a_checkpoint_moves_to_another_mesh_exactly(eight):
    assert eight["restored"]["step"] == 4
    assert eight["restored"]["difference"] == 0.0
    wanted = eight["meshes"]["(1, 8, 1) 1"]["shards"]
    assert eight["restored"]["shards"] == wanted


@pytest.mark.survival
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("devices", "mesh data=3, fsdp=1, tensor=1 does not divide 8 device(s)"),
        ("rest", "mesh data=-1, fsdp=3, tensor=1 does not divide 8 device(s)"),
        ("two unknown", "at most one -1, got data=-1, fsdp=-1"),
        ("batch", "data.batch_size=4 does not divide over data x fsdp = 8 x 1 devices"),
        ("parameter", "mlp/down/kernel: a dimension of 36 does not divide over mesh"),
    ],
)
def test_what_does_not_divide_is_named(what, message, eight):
    assert message in eight["refused"][what]


# --- two processes ---


def start_two(command, workdir, *flags):
    """Both processes of a run, as a user starts them by hand."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
    }
    return [
        command.start(workdir, *flags, env=shared | {"JAX_PROCESS_ID": str(number)})
        for number in range(2)
    ]


def assert_close(workdir, whole, upto=STEPS):
    """Every figure of every step to 1e-5; norms, small sums of large parts, to 1e-3."""
    rows, others = logged(workdir)[:upto], logged(whole)[:upto]
    assert [row["step"] for row in rows] == list(range(1, upto + 1))
    for row, other in zip(rows, others, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            rel = 1e-3 if name.endswith("_norm") else 1e-5
            assert row[name] == pytest.approx(other[name], rel=rel), name


def assert_same_end(workdir, whole):
    assert_close(workdir, whole)
    (step, params), (same, others) = latest_params(workdir), latest_params(whole)
    assert step == same == STEPS
    params, others = plain(params), plain(others)
    assert params.keys() == others.keys()
    for name in params:
        np.testing.assert_allclose(params[name], others[name], atol=1e-5, err_msg=name)


@pytest.mark.survival
def test_two_processes_stopped_by_the_sigterm_of_one_go_on_as_one(
    command, whole_run, tmp_path
):
    # fsdp: each process holds, and writes, half of the parameters.
    pair = start_two(command, tmp_path, "--config.mesh.fsdp=2")
    pair[0].until_step(EVERY + 3)
    pair[1].signal(signal.SIGTERM)
    assert [process.wait() for process in pair] == [143, 143], pair[1].output
    stopped = logged(tmp_path)[-1]["step"]
    assert EVERY + 3 <= stopped < STEPS
    assert f"asked to stop: saved step {stopped}" in pair[0].output
    assert "mesh data=1 x fsdp=2 x tensor=1" in pair[0].output
    assert_close(tmp_path, whole_run, upto=stopped)
    # Process 0 alone writes and talks.
    assert "asked to stop" not in pair[1].output and "new run" not in pair[1].output
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    state = tmp_path / "checkpoints" / str(stopped) / "state"
    assert {"ocdbt.process_0", "ocdbt.process_1"} < {p.name for p in state.iterdir()}

    output = command.run(tmp_path)
    assert f"continuing at step {stopped} " in output
    assert_same_end(tmp_path, whole_run)


@pytest.mark.survival
def test_two_processes_continue_what_one_began(command, whole_run, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(whole_run, workdir)
    shutil.rmtree(workdir / "checkpoints" / str(STEPS))
    # Damaged: both processes must fall back to the one before.
    newest = workdir / "checkpoints" / str(STEPS - EVERY)
    (newest / "state" / "_METADATA").write_text("")
    pair = start_two(command, workdir)
    assert [process.wait() for process in pair] == [0, 0], pair[0].output
    assert f"continuing at step {STEPS - 2 * EVERY} " in pair[0].output
    assert f"{newest} cannot be read: state/_METADATA has 0 bytes" in pair[0].output
    assert "mesh data=2 x fsdp=1 x tensor=1" in pair[0].output
    assert_same_end(workdir, whole_run)
    name = "eval/validation/metrics.json"
    found, wanted = (json.loads((w / name).read_text()) for w in (workdir, whole_run))
    assert found == pytest.approx(wanted, rel=1e-5)


# --- when several processes are started at all ---

SRUN = {
    "SLURM_JOB_ID": "1",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}
BY_HAND = {
    "JAX_COORDINATOR_ADDRESS": "host:1234",
    "JAX_NUM_PROCESSES": "2",
    "JAX_PROCESS_ID": "1",
}
GIVEN = {"coordinator_address": "host:1234", "num_processes": 2, "process_id": 1}


@pytest.mark.parametrize(
    ("wanted", "env", "arguments"),
    [
        ("auto", {}, None),
        ("on", {}, {}),
        ("auto", BY_HAND, GIVEN),
        ("off", BY_HAND, None),
        ("auto", SRUN, {}),
        ("off", SRUN, None),
        ("auto", SRUN | BY_HAND, GIVEN),
        ("auto", SRUN | {"SLURM_NTASKS": "1"}, None),
        # A batch script that does not use srun, or a shell in an allocation.
        ("auto", {k: v for k, v in SRUN.items() if "STEP" not in k}, None),
        ("auto", {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "1"}, None),
        ("auto", {"TPU_WORKER_HOSTNAMES": "a,b"}, {}),
        ("auto", {"TPU_WORKER_HOSTNAMES": "a"}, None),
    ],
)
def test_when_processes_join(wanted, env, arguments):
    assert distributed_arguments(wanted, env) == arguments


def test_slurm_is_recognised_by_what_jax_needs(monkeypatch):
    # JAX raises if we start it where its own detection finds nothing.
    from jax._src.clusters.slurm_cluster import SlurmCluster

    for missing in (None, *SRUN):
        env = {name: value for name, value in SRUN.items() if name != missing}
        for name in SRUN:
            monkeypatch.delenv(name, raising=False)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        joins = distributed_arguments("auto", env) is not None
        assert joins == SlurmCluster.is_env_present() == (missing is None)


def test_a_process_number_that_is_none():
    with pytest.raises(SystemExit, match="JAX_PROCESS_ID must be a whole .*'first'"):
        distributed_arguments("auto", BY_HAND | {"JAX_PROCESS_ID": "first"})
