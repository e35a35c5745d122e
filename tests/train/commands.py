"""`python -m launch.pretrain` as a user starts it, and as a cluster ends it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

STEPS = 60
EVERY = 10

# A window of a minute, a model of a few thousand parameters.
_SETTINGS = {
    "task.windows": 2,
    "task.patch_s": 5.0,
    "data.crop_s": 120.0,
    "data.validation_fraction": 0.25,
    "model.patch_size": 450,
    "model.width": 16,
    "model.depth": 1,
    "model.num_heads": 2,
    "model.mlp_dim": 32,
    "train.steps": STEPS,
    "train.log_every": 1,
    "train.checkpoint_every": EVERY,
}
ROOT = pathlib.Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120


class Process:
    """A started command; its output is in a file, so that no pipe can block it."""

    def __init__(self, popen, workdir, log):
        self.popen, self._workdir, self._log = popen, workdir, log

    @property
    def output(self):
        return self._log.read_text(errors="replace")

    def until(self, happened):
        """Waits for `happened()`, looking often: a step takes milliseconds."""
        limit = time.monotonic() + _TIMEOUT_S
        while not happened():
            assert self.popen.poll() is None, f"it ended too early:\n{self.output}"
            assert time.monotonic() < limit, f"it never happened:\n{self.output}"
            time.sleep(0.001)

    def until_step(self, step):
        """Waits until metrics.jsonl holds `step`."""
        path, sign = self._workdir / "metrics.jsonl", f'{{"step": {step},'
        self.until(lambda: path.exists() and sign in path.read_text())

    def signal(self, number):
        """Sends a signal to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def wait(self):
        """The exit status."""
        try:
            return self.popen.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.output}") from None


class Command:
    """One command line; only the workdir differs."""

    def __init__(self, store, *, cache):
        self._store, self._cache, self._started = store, cache, []

    def start(self, workdir, *flags, env=None):
        settings = {"data.store": self._store, **_SETTINGS}
        arguments = [f"--config.{k}={v}" for k, v in settings.items()]
        log = self._cache / f"log-{len(self._started)}.txt"
        with log.open("w") as file:
            popen = subprocess.Popen(
                [sys.executable, "-m", "launch.pretrain"]
                + ["--config=configs/mae_wrist.py:minute", f"--workdir={workdir}"]
                + arguments
                + list(flags),
                cwd=ROOT,
                env=os.environ | {"SIGJAX_CACHE": str(self._cache)} | (env or {}),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(Process(popen, workdir, log))
        return self._started[-1]

    def end(self):
        """Leaves none behind, also when a test failed."""
        for process in self._started:
            if process.popen.poll() is None:
                process.signal(signal.SIGKILL)
                process.wait()

    def run(self, workdir, *flags):
        """Runs to the end, which must be a good one."""
        process = self.start(workdir, *flags)
        assert process.wait() == 0, process.output
        return process.output
