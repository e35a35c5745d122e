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
from typing import Any

import jax
import ml_collections
from absl import flags
from absl import logging as absl_logging
from etils import epath

DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "on", "off"],
    "Several processes: 'auto' starts jax.distributed under Slurm, on a TPU pod and"
    " where JAX_COORDINATOR_ADDRESS is set; 'on' always; 'off' never.",
)


def start() -> None:
    """Starts jax.distributed where asked for, and the persistent compilation cache."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if not flags.FLAGS["verbosity"].present:
        # Orbax tells every rename and warns of its own defaults.
        absl_logging.set_verbosity(absl_logging.ERROR)
    _start_distributed()
    cache = os.environ.get("SIGJAX_CACHE", "~/.cache/sigjax")
    path = pathlib.Path(cache).expanduser() / f"xla-{_machine()}"
    jax.config.update("jax_compilation_cache_dir", str(path))
    # The default skips what compiles in under a second, most of a small run.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _start_distributed() -> None:
    wanted = DISTRIBUTED.value
    env = os.environ
    by_hand = {
        "coordinator_address": env.get("JAX_COORDINATOR_ADDRESS"),
        "num_processes": env.get("JAX_NUM_PROCESSES"),
        "process_id": env.get("JAX_PROCESS_ID"),
    }
    slurm = int(env.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in env
    pod = len(env.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1
    if wanted == "off" or (
        wanted == "auto" and not (slurm or pod or by_hand["coordinator_address"])
    ):
        return
    given = {k: v for k, v in by_hand.items() if v is not None}
    for key in ("num_processes", "process_id"):
        if key in given:
            given[key] = int(given[key])
    jax.distributed.initialize(**given)


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
    """
    if jax.process_index() != 0:
        return
    path = workdir / "config.json"
    now = {"config": json.loads(config.to_json_best_effort()), **provenance()}
    if path.exists():
        before = json.loads(path.read_text())
        changed = _differences(before["config"], now["config"])
        if changed:
            warnings.warn(
                f"{workdir} continues with a changed config: {', '.join(changed)};"
                " the former one is kept as config.before.json",
                stacklevel=2,
            )
            (workdir / "config.before.json").write_text(path.read_text())
    path.write_text(json.dumps(now, indent=1) + "\n")


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
