"""Runs cells, each once, together with other processes on the same folder."""

import json
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from etils import epath

from launch import claims
from launch.reproduction.cells import Cell
from sigjax.train.writer import replace_file

# Does a cell's work in its folder; continues what it finds there. Returns its result.
Work = Callable[[Cell, epath.Path], Mapping[str, Any]]
_PAUSE_S = 2.0


class Outcome(NamedTuple):
    """What became of a cell.

    Attributes:
      result: What the work returned; None if it failed.
      error: Why it failed, in one line; "" if it did not.
      record: All of `cell.json`.
    """

    result: Mapping[str, Any] | None
    error: str
    record: Mapping[str, Any]


NOT_DONE = Outcome(None, "not done: run the same command again", {})


class Cells:
    """The cells of a folder: `WORKDIR/cells/KEY/`, with `cell.json` written last."""

    def __init__(self, workdir: epath.Path, cells: Mapping[str, Cell]):
        """Notes failures of the past: they are tried again, once.

        Args:
          workdir: The folder; may be shared with other processes and hosts.
          cells: By key, each after the one it starts from.
        """
        self.workdir, self.cells = workdir, cells
        self._past: dict[str, int] = {}
        for cell in cells.values():
            failure = _read(self.folder(cell) / "error.json")
            self._past[cell.key] = failure["attempt"] if failure else 0

    def folder(self, cell: Cell) -> epath.Path:
        """Where a cell lies."""
        return self.workdir / "cells" / cell.key

    def outcome(self, cell: Cell) -> Outcome | None:
        """What became of a cell; None if it is still to be run."""
        record = _read(self.folder(cell) / "cell.json")
        if record is not None:
            return Outcome(record["result"], "", record)
        failure = _read(self.folder(cell) / "error.json")
        if failure is None or failure["attempt"] <= self._past.get(cell.key, 0):
            return None
        return Outcome(None, f"failed: {failure['error']}", failure)

    def outcomes(self) -> dict[str, Outcome]:
        """What became of every cell so far."""
        found = {key: self.outcome(cell) for key, cell in self.cells.items()}
        return {key: outcome or NOT_DONE for key, outcome in found.items()}

    def run(self, work: Work, say: Callable[[str], None] = print) -> dict[str, Outcome]:
        """Runs all cells, or waits for those that other processes run.

        A cell that failed before this object was made is tried again, one that fails
        later is not, here or in another process.

        Args:
          work: See `Work`. An exception is a failure of that cell alone.
          say: Takes lines about progress.
        """
        there = sum(self.outcome(cell) is not None for cell in self.cells.values())
        if there:
            say(f"{there} of {len(self.cells)} cells are there already")
        waiting: set[str] = set()
        while todo := [c for c in self.cells.values() if self.outcome(c) is None]:
            ran, busy = self._pass(todo, work, say)
            if ran:
                continue
            for cell in busy:
                if cell.key not in waiting:
                    owner = claims.owner(self.workdir / "claims", cell.key)
                    say(f"waiting for {cell.key}: {owner}")
                    waiting.add(cell.key)
            time.sleep(_PAUSE_S)
        return self.outcomes()

    def _pass(self, todo: list[Cell], work: Work, say) -> tuple[bool, list[Cell]]:
        """Runs what is free; says whether anything was, and what others hold."""
        busy: list[Cell] = []
        places = {key: place for place, key in enumerate(self.cells, 1)}
        for cell in todo:
            before = self.outcome(cell.parent) if cell.parent else None
            if cell.parent and before is None:
                continue
            with claims.claim(self.workdir / "claims", cell.key) as ours:
                if not ours:
                    busy.append(cell)
                    continue
                if self.outcome(cell) is not None:  # Done between look and claim.
                    return True, busy
                if cell.parent and before is not None and before.error:
                    self._fail(cell, f"its {cell.parent.noun} {before.error}", "")
                    return True, busy
                name = (
                    f"[{places[cell.key]}/{len(self.cells)}] {cell.kind} {cell.title}"
                )
                self._run(cell, work, name, say)
                return True, busy
        return False, busy

    def _run(self, cell: Cell, work: Work, name: str, say) -> None:
        folder = self.folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        say(f"{name}: running, {folder.name}")
        start = time.monotonic()
        try:
            result = work(cell, folder)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self._fail(cell, reason, traceback.format_exc())
            say(f"{name}: FAILED: {reason[:200]}; see {folder}/error.json, log.txt")
            return
        seconds = time.monotonic() - start
        record = {
            "key": cell.key,
            "title": cell.title,
            **cell.identity,
            "data_path": cell.data.path,
            "seconds": round(seconds, 1),
            "result": result,
        }
        _write(folder / "cell.json", record)
        (folder / "error.json").unlink(missing_ok=True)
        say(f"{name}: done in {duration(seconds)}")

    def _fail(self, cell: Cell, reason: str, trace: str) -> None:
        path = self.folder(cell) / "error.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        before = _read(path)
        attempt = (before["attempt"] if before else 0) + 1
        _write(path, {"attempt": attempt, "error": reason, "traceback": trace})


def duration(seconds: float) -> str:
    """Such as `"2 h 05 min"`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def _read(path: epath.Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _write(path: epath.Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=1) + "\n"
    replace_file(path, text.encode())
