"""Where numbers go: metrics.jsonl, TensorBoard and a progress bar; process 0 only."""

import json
import math
import socket
import sys
import time
from collections.abc import Mapping

import jax
from etils import epath
from tqdm import tqdm

from sigjax.train import events

_LOG = "metrics.jsonl"


class WorkdirError(OSError):
    """The working directory cannot be written; the message says why and what to do."""


def prepare_workdir(workdir: epath.PathLike) -> epath.Path:
    """Makes the directory and proves that it can be written.

    Returns:
      Its absolute path; Orbax takes no other.

    Raises:
      WorkdirError: If it cannot, before any time is spent on compilation.
    """
    path = epath.Path(workdir).expanduser()
    if "://" not in str(path):
        path = path.resolve()
    probe = path / f".probe-{jax.process_index()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_text("a full disk still makes empty files\n")
        probe.unlink()
    except OSError as error:
        raise WorkdirError(
            f"cannot write to --workdir={path}: {error}. Choose a directory that can be"
            " created and written, with free space."
        ) from error
    return path


def replace_file(path: epath.Path, content: bytes) -> None:
    """Writes a file that is never seen half-written, whenever the process is killed.

    Raises:
      WorkdirError: If the disk is full or the directory is gone.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise WorkdirError(f"cannot write {path}: {error}") from error


def validation_at(workdir: epath.Path, step: int) -> dict[str, float]:
    """The validation figures at a step, from the run's log; empty if it has none.

    Args:
      workdir: Of the run.
      step: Whose line to read: a run that went on may have later ones.

    Returns:
      Values by name, without the `val_` that the log has before them.
    """
    for line in reversed((workdir / _LOG).read_text().splitlines()):
        values = json.loads(line)
        found = {
            name.removeprefix("val_"): value
            for name, value in values.items()
            if name.startswith("val_")
        }
        if values["step"] == step and found:
            return found
    return {}


class _GrowingFile:
    """A file that is appended to, also in an object store, which cannot append."""

    def __init__(self, path: epath.Path, content: bytes):
        self._path = path
        self._content = content if "://" in str(path) else None
        replace_file(path, content)

    def append(self, data: bytes) -> None:
        if self._content is not None:
            self._content += data
            replace_file(self._path, self._content)
            return
        try:
            with open(self._path, "ab") as file:
                file.write(data)
        except OSError as error:
            raise WorkdirError(f"cannot write {self._path}: {error}") from error


class Writer:
    """Writes scalars of a run to `metrics.jsonl` and TensorBoard, and shows progress.

    A resumed run first drops the lines after the step it resumes from: those steps run
    again and write the same values again.
    """

    def __init__(self, workdir: epath.Path, *, start_step: int, total_steps: int):
        """Opens the files; on processes other than 0 nothing is written or shown.

        Raises:
          WorkdirError: If they cannot be written.
        """
        self._active = jax.process_index() == 0
        if not self._active:
            return
        path = workdir / _LOG
        self._lines = _GrowingFile(path, _kept_lines(path, start_step))
        # The names that TensorBoard looks for; a run that goes on adds a file.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
        (workdir / "tensorboard").mkdir(parents=True, exist_ok=True)
        # Hides the points of a run that went further before it was killed.
        header = events.header(purge_step=start_step + 1)
        self._events = _GrowingFile(workdir / "tensorboard" / name, header)
        self._bar = tqdm(
            total=total_steps,
            initial=start_step,
            unit="step",
            dynamic_ncols=True,
            file=sys.stderr,
            mininterval=0.5 if sys.stderr.isatty() else 10,
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line of JSON and one TensorBoard point per value.

        Raises:
          WorkdirError: If the disk is full or the directory is gone.
        """
        if not self._active:
            return
        # JSON has no NaN; a figure that could not be computed is null.
        plain = {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._lines.append((json.dumps({"step": step, **plain}) + "\n").encode())
        self._events.append(events.scalars(step, values))

    def progress(self, step: int, **shown: str) -> None:
        """Moves the bar to `step`, with a few values beside it."""
        if self._active:
            if shown:
                self._bar.set_postfix(shown, refresh=False)
            self._bar.update(step - self._bar.n)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        if self._active:
            self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Closes the bar."""
        if self._active:
            self._bar.close()


def _kept_lines(path: epath.Path, start_step: int) -> bytes:
    """The whole lines up to `start_step`; a killed run leaves a torn last line."""
    kept = []
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise WorkdirError(f"cannot read {path}: {error}") from error
    for line in lines:
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError):
            continue
        if step <= start_step:
            kept.append(line + b"\n")
    return b"".join(kept)
