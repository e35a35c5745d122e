"""What every command does first: processes, compilation cache, log, provenance."""

import hashlib
import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import subprocess
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from absl import flags
from absl import logging as absl_logging
from etils import epath

from launch import memory
from sigjax.train.writer import replace_file

DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "on", "off"],
    "Several processes: 'auto' starts jax.distributed under Slurm, on a TPU pod and"
    " where JAX_COORDINATOR_ADDRESS is set; 'on' always; 'off' never.",
)


def start() -> None:
    """Starts jax.distributed where asked for, and the persistent compilation cache.

    Sets the log first.
    """
    if not flags.FLAGS["verbosity"].present:
        # absl put its handler on the root logger and would raise the root's level with
        # its own: our warnings would be lost.
        logging.basicConfig(format="%(message)s", level=logging.WARNING, force=True)
        # Orbax tells every rename and warns of its own defaults; a failure it logs with
        # a traceback per thread before raising it, and that one message is enough.
        absl_logging.set_verbosity(absl_logging.FATAL)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    _start_distributed()
    cache = os.environ.get("SIGJAX_CACHE", "~/.cache/sigjax")
    path = pathlib.Path(cache).expanduser() / f"xla-{_machine()}"
    jax.config.update("jax_compilation_cache_dir", str(path))
    # The default skips what compiles in under a second, most of a small run.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    memory.close_holes_after_compiling()


# srun sets all of them and JAX finds the rest by them; a batch script without srun, or
# a shell inside an allocation, has SLURM_NTASKS but is one process.
_SRUN = ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")


def _start_distributed() -> None:
    arguments = distributed_arguments(DISTRIBUTED.value, os.environ)
    if arguments is not None:
        jax.distributed.initialize(**arguments)


def distributed_arguments(wanted: str, env: Mapping[str, str]) -> dict[str, Any] | None:
    """What `jax.distributed.initialize` is called with; None if it is not.

    Args:
      wanted: The value of `--distributed`.
      env: Environment variables.

    Raises:
      SystemExit: If a variable that must be a number is none.
    """
    slurm = all(f"SLURM_{name}" in env for name in _SRUN)
    slurm = slurm and _number(env, "SLURM_NTASKS") > 1
    pod = len(env.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1
    by_hand = "JAX_COORDINATOR_ADDRESS" in env
    if wanted == "off" or (wanted == "auto" and not (slurm or pod or by_hand)):
        return None
    given: dict[str, Any] = {}
    if by_hand:
        given["coordinator_address"] = env["JAX_COORDINATOR_ADDRESS"]
    for key in ("num_processes", "process_id"):
        if f"JAX_{key.upper()}" in env:
            given[key] = _number(env, f"JAX_{key.upper()}")
    return given


def wait_for_all(name: str) -> None:
    """Returns once every process has come here; `name` is the same on all."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def _number(env: Mapping[str, str], name: str) -> int:
    try:
        return int(env[name])
    except ValueError:
        raise SystemExit(
            f"error: environment variable {name} must be a whole number, got"
            f" {env[name]!r}"
        ) from None


def _machine() -> str:
    """A tag of this machine's instruction set: CPU programs are not portable."""
    try:
        flags_line = next(
            line
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith(("flags", "Features"))
        )
    except (OSError, StopIteration):
        flags_line = platform.processor()
    digest = hashlib.sha256(flags_line.encode()).hexdigest()[:8]
    return f"{platform.machine()}-{digest}"


def save_config(workdir: epath.Path, config: ml_collections.ConfigDict) -> None:
    """Writes `config.json`: the resolved config, versions and git revision.

    A continued run whose config differs says so and keeps the old file beside it.

    Raises:
      sigjax.train.writer.WorkdirError: If they cannot be written.
    """
    if jax.process_index() != 0:
        return
    path = workdir / "config.json"
    now = {"config": json.loads(config.to_json_best_effort()), **provenance()}
    if path.exists():
        before = path.read_bytes()
        changed = _changes(before, now["config"])
        if changed:
            warnings.warn(
                f"{workdir} continues with a changed config: {', '.join(changed)};"
                " the former one is kept as config.before.json",
                stacklevel=2,
            )
            replace_file(workdir / "config.before.json", before)
    replace_file(path, (json.dumps(now, indent=1) + "\n").encode())


def _changes(before: bytes, now: dict[str, Any]) -> list[str]:
    try:
        return _differences(json.loads(before)["config"], now)
    except (ValueError, KeyError):
        return ["the former config.json is damaged"]


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        return [
            text
            for key in keys
            for text in _differences(before.get(key), now.get(key), f"{name}.{key}")
        ]
    return [] if before == now else [f"{name.lstrip('.')} {before!r} -> {now!r}"]


def provenance() -> dict[str, Any]:
    """Versions, devices and the git revision that a run used."""
    names = ("sigjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "versions": versions,
        "devices": [str(d.device_kind) for d in jax.devices()],
        "git": _git_revision(),
    }


def _git_revision() -> str:
    root = pathlib.Path(__file__).resolve().parents[1]
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip() or "unknown"
