"""Where numbers go: metrics.jsonl, TensorBoard and a progress bar; process 0 only."""

import json
import math
import sys
from collections.abc import Mapping

import jax
import tensorboardX
from etils import epath
from tqdm import tqdm


class WorkdirError(OSError):
    """The working directory cannot be written; the message says why and what to do."""


def prepare_workdir(workdir: epath.PathLike) -> epath.Path:
    """Makes the directory and proves that it can be written.

    Raises:
      WorkdirError: If it cannot, before any time is spent on compilation.
    """
    path = epath.Path(workdir)
    probe = path / f".probe-{jax.process_index()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise WorkdirError(
            f"cannot write to --workdir={path}: {error}. Choose a directory that can be"
            " created and written, with free space."
        ) from error
    return path


class Writer:
    """Writes scalars of a run to `metrics.jsonl` and TensorBoard, and shows progress.

    A resumed run first drops the lines after the step it resumes from: those steps run
    again and write the same values again.
    """

    def __init__(self, workdir: epath.Path, *, start_step: int, total_steps: int):
        """Opens the files; on processes other than 0 nothing is written or shown."""
        self._active = jax.process_index() == 0
        if not self._active:
            return
        self._path = workdir / "metrics.jsonl"
        self._lines = self._kept_lines(start_step)
        self._path.write_text("".join(self._lines))
        # purge_step hides the events of a run that went further before it was killed.
        self._events = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"), purge_step=start_step + 1, flush_secs=20
        )
        self._bar = tqdm(
            total=total_steps,
            initial=start_step,
            unit="step",
            dynamic_ncols=True,
            file=sys.stderr,
            mininterval=0.5 if sys.stderr.isatty() else 10,
        )

    def _kept_lines(self, start_step: int) -> list[str]:
        if not self._path.exists():
            return []
        kept = []
        for line in self._path.read_text().splitlines(keepends=True):
            try:
                step = json.loads(line)["step"]
            except (json.JSONDecodeError, KeyError):
                continue  # the torn last line of a killed run; its step runs again
            if step <= start_step:
                kept.append(line)
        return kept

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line of JSON and one TensorBoard point per value.

        Raises:
          WorkdirError: If the disk is full or the file is gone.
        """
        if not self._active:
            return
        # JSON has no NaN; a figure that could not be computed is null.
        plain = {k: v if math.isfinite(v) else None for k, v in values.items()}
        line = json.dumps({"step": step, **plain}) + "\n"
        try:
            self._append(line)
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
            self._events.flush()
        except OSError as error:
            raise WorkdirError(f"cannot write {self._path}: {error}") from error

    def _append(self, line: str) -> None:
        if "://" in str(self._path):  # object stores cannot append
            self._lines.append(line)
            self._path.write_text("".join(self._lines))
            return
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line)

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
        """Closes the bar and the files."""
        if self._active:
            self._bar.close()
            try:
                self._events.close()
            except OSError as error:  # a full disk was reported by write()
                print(f"TensorBoard events not closed: {error}", file=sys.stderr)
