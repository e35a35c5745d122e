"""Features of clips, of every layer of an encoder, in a folder that grows.

    features.json         what they were made by and of, and what was left out
    features-DIGEST.npy   float32 [n, l, w], a row for each clip
    calls-DIGEST.parquet  of each row: id, path, start, end, label, split, group, ...
    parts/                features of a run that has not come to its end

A clip's features are known by a key: of its stretch of its file, and of the file's size
and time. One folder holds what one encoder makes of clips that were read in one way.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sigjax.data.calls.manifest import Call

FORMAT = 1
_INFO = "features.json"
_PARTS, _JOB = "parts", "job.json"
# Rows that are copied at once.
_ROWS = 256


class FeaturesError(ValueError):
    """A folder of features cannot be used; says which and why."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClipFeatures:
    """Features of clips, as `launch.extract` wrote them.

    Attributes:
      ids: Text `[n]`.
      labels: Text `[n]`, names of classes; `""` where none is known.
      splits: Text `[n]`.
      groups: Text `[n]`, callers or recordings.
      features: Float32 `[n, l, w]`, mapped from the file: means of a layer's frames,
        then standard deviations.
      layers: Names of the layers, `"0"` to `"L"`, perhaps after `"proj"`.
      classes: Names of the manifest's classes, in the order of their numbers.
      info: The whole of `features.json`.
      calls: What the manifest told of each row.
    """

    ids: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    groups: np.ndarray
    features: np.ndarray
    layers: tuple[str, ...]
    classes: tuple[str, ...]
    info: Mapping[str, Any]
    calls: tuple[Call, ...] = ()

    def __len__(self) -> int:
        """Clips."""
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """Tells features apart: by what made them, of which clips, and their labels."""
        made = ("settings", "features", "calls", "layers")
        return digest_of([self.info[name] for name in made])

    @property
    def label(self) -> np.ndarray:
        """Int32 `[n]`, numbers of the classes; -1 where none is known."""
        number = {name: index for index, name in enumerate(self.classes)}
        return np.array([number.get(str(name), -1) for name in self.labels], np.int32)

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "ClipFeatures":
        """Opens a folder; features are read from the disk as they are looked at.

        Raises:
          FeaturesError: It holds none, or those of a run that has not ended.
        """
        path = pathlib.Path(folder).expanduser()
        info = _read_info(path)
        if info is None:
            raise FeaturesError(
                f"{path} holds no features ({_INFO} is missing): give a folder that"
                " launch.extract wrote"
            )
        if "features" not in info:
            raise FeaturesError(
                f"{path}: the extraction has not ended; run the same command again and"
                " it goes on"
            )
        try:
            table = pq.read_table(path / info["calls"])
            features = np.load(path / info["features"], mmap_mode="r")
        except (OSError, EOFError, ValueError, pa.ArrowInvalid) as error:
            raise FeaturesError(f"{path} is damaged: {error}") from error
        if len(features) != len(table):
            raise FeaturesError(
                f"{path} is damaged: {len(features)} rows of features of"
                f" {len(table)} clips"
            )
        text = {
            name: np.array(table[name].to_pylist(), np.str_)
            for name in ("id", "label", "split", "group")
        }
        return cls(
            ids=text["id"],
            labels=text["label"],
            splits=text["split"],
            groups=text["group"],
            features=features,
            layers=tuple(info["layers"]),
            classes=tuple(info["classes"]),
            info=info,
            calls=tuple(map(_call, table.to_pylist())),
        )


class Job(NamedTuple):
    """What a run computes, from which its batches follow.

    Attributes:
      keys: Of clips, in the order of the manifest.
      plan: Whatever else batches depend on.
    """

    keys: tuple[str, ...]
    plan: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Tells jobs apart."""
        return digest_of([list(self.keys), dict(self.plan)])


class Part(NamedTuple):
    """Some clips' features, as they are written.

    Attributes:
      keys: Of each row.
      features: Float32 `[m, l, w]`.
      remarks: Of each row: what is worth a remark.
      left_out: Keys of clips that could not be read, and why.
    """

    keys: Sequence[str]
    features: np.ndarray
    remarks: Sequence[Sequence[str]]
    left_out: Mapping[str, str]


class _Row(NamedTuple):
    file: pathlib.Path
    number: int
    remarks: tuple[str, ...]


class FeatureFolder:
    """Writes features part by part, and puts them together at the end.

    Every part is whole or not there; what is known is never lost before its successor
    is whole. Several processes may add parts at once.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        settings: Mapping[str, Any],
        layers: Sequence[str],
        width: int,
    ):
        """Opens or begins a folder.

        Args:
          folder: A local one: features are mapped from it.
          settings: Whatever features depend on, as JSON has it.
          layers: Names.
          width: `w` of each.

        Raises:
          FeaturesError: It holds features that were made otherwise; says by what.
        """
        if "://" in str(folder):
            raise FeaturesError(f"{folder}: features are mapped from a local folder")
        self.path = pathlib.Path(folder).expanduser()
        self._settings = json.loads(json.dumps(dict(settings)))
        self._layers, self._shape = tuple(layers), (len(layers), width)
        self._parts = self.path / _PARTS
        self.path.mkdir(parents=True, exist_ok=True)
        info = _read_info(self.path)
        if info is None:
            _replace_json(
                self.path / _INFO, {"format": FORMAT, "settings": self._settings}
            )
        elif info["settings"] != self._settings:
            changed = differences(info["settings"], self._settings)
            raise FeaturesError(
                f"{self.path} holds features that were made otherwise:"
                f" {'; '.join(changed)}. Choose another folder, or delete it"
            )
        self._rows: dict[str, _Row] = {}
        self._left_out: dict[str, dict[str, str]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Looks for what was written, by this process or others."""
        info = _read_info(self.path) or {}
        self._rows, self._left_out = {}, {}
        if "features" in info:
            try:
                table = pq.read_table(
                    self.path / info["calls"], columns=["key", "remarks"]
                )
            except (OSError, pa.ArrowInvalid) as error:
                raise FeaturesError(f"{self.path} is damaged: {error}") from error
            file = self.path / info["features"]
            self._know(file, table["key"].to_pylist(), table["remarks"].to_pylist())
        for path in sorted(self._parts.glob("*-*.json")):
            told = json.loads(path.read_text())
            self._know(path.with_suffix(".npy"), told["keys"], told["remarks"])
            self._left_out.setdefault(told["job"], {}).update(told["left_out"])

    def _know(
        self, file: pathlib.Path, keys: Iterable[str], remarks: Iterable[Sequence[str]]
    ) -> None:
        for number, (key, what) in enumerate(zip(keys, remarks, strict=True)):
            self._rows.setdefault(key, _Row(file, number, tuple(what)))

    def __contains__(self, key: str) -> bool:
        """Whether a clip's features are known."""
        return key in self._rows

    def remarks(self, key: str) -> tuple[str, ...]:
        """What is worth a remark of a clip whose features are known."""
        return self._rows[key].remarks

    def left_out(self, job: Job) -> Mapping[str, str]:
        """Keys of clips that a job could not read so far, and why."""
        return self._left_out.get(job.digest, {})

    def job(self, keys: Sequence[str], plan: Mapping[str, Any]) -> Job:
        """What there is to do: the rest of a job that was stopped, or all that is new.

        A job goes on only as it began, with the same batches.

        Args:
          keys: Of all clips of the manifest, each once, in its order.
          plan: Whatever else batches depend on, as JSON has it.
        """
        missing = [key for key in keys if key not in self]
        path = self._parts / _JOB
        if path.exists():
            begun = Job(**json.loads(path.read_text()))
            own = set(begun.keys)
            same = [key for key in keys if key in own] == list(begun.keys)
            plain = json.loads(json.dumps(dict(plan)))
            if same and begun.plan == plain and own.issuperset(missing):
                return Job(tuple(begun.keys), begun.plan)
        return Job(tuple(missing), dict(plan))

    def begin(self, job: Job) -> None:
        """Writes down what the run will do, to go on with it."""
        self._parts.mkdir(exist_ok=True)
        _replace_json(self._parts / _JOB, job._asdict())

    def add(self, job: Job, part: Part, process: int = 0) -> None:
        """Writes a part of a job."""
        self._parts.mkdir(exist_ok=True)
        own = [path.stem for path in self._parts.glob(f"{process}-*.json")]
        number = 1 + max((int(stem.rpartition("-")[2]) for stem in own), default=-1)
        path = self._parts / f"{process}-{number:06d}.npy"
        features = np.ascontiguousarray(part.features, "<f4")
        features = features.reshape(len(part.keys), *self._shape)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, features)
        partial.replace(path)
        told = {
            "job": job.digest,
            "keys": list(part.keys),
            "remarks": [list(what) for what in part.remarks],
            "left_out": dict(part.left_out),
        }
        # Last: a part is what has this file.
        _replace_json(path.with_suffix(".json"), told)
        self._know(path, told["keys"], told["remarks"])
        self._left_out.setdefault(job.digest, {}).update(part.left_out)

    def publish(self, table: pa.Table, info: Mapping[str, Any]) -> None:
        """Puts features together in the order of a table, and clears parts away.

        Args:
          table: Columns `id`, `label`, `split`, `group` and `key`, of clips whose
            features are known; a column `remarks` is added.
          info: More for `features.json`.
        """
        keys = table["key"].to_pylist()
        remarks = pa.array([list(self.remarks(k)) for k in keys], pa.list_(pa.string()))
        table = table.append_column("remarks", remarks)
        name = f"features-{digest_of(keys)}.npy"
        if not (self.path / name).exists():
            self._collect(self.path / name, keys)
        rows = f"calls-{digest_of(table.to_pylist())}.parquet"
        partial = self.path / f"{rows}.partial"
        pq.write_table(table, partial)
        partial.replace(self.path / rows)
        whole = {
            "format": FORMAT,
            "features": name,
            "calls": rows,
            "clips": len(keys),
            "layers": self._layers,
            "width": self._shape[1],
            **info,
            "settings": self._settings,
        }
        # From here on the new files are the folder's; before, the old ones are.
        _replace_json(self.path / _INFO, whole)
        for pattern in ("features-*", "calls-*"):
            for path in self.path.glob(pattern):
                if path.name not in (name, rows):
                    path.unlink()
        shutil.rmtree(self._parts, ignore_errors=True)
        self.refresh()

    def _collect(self, path: pathlib.Path, keys: Sequence[str]) -> None:
        """Copies the features of all clips into one file, file after file."""
        partial = path.with_name(f"{path.name}.partial")
        shape = (len(keys), *self._shape)
        into = np.lib.format.open_memmap(partial, "w+", "<f4", shape)
        by_file: dict[pathlib.Path, list[tuple[int, int]]] = {}
        for at, key in enumerate(keys):
            row = self._rows[key]
            by_file.setdefault(row.file, []).append((row.number, at))
        for file, places in by_file.items():
            source = np.load(file, mmap_mode="r")
            for first in range(0, len(places), _ROWS):
                numbers, at = np.array(places[first : first + _ROWS]).T
                into[at] = source[numbers]
        into.flush()
        del into
        partial.replace(path)


def digest_of(value: Any) -> str:
    """16 characters that tell values of JSON apart."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _call(row: Mapping[str, Any]) -> Call:
    return Call(
        id=row["id"],
        path=row.get("path") or row["id"],
        label=row["label"],
        split=row["split"],
        group=row["group"],
        start_s=row.get("start") or 0.0,
        end_s=row.get("end"),
    )


def _read_info(path: pathlib.Path) -> dict[str, Any] | None:
    file = path / _INFO
    if not file.exists():
        return None
    try:
        info = json.loads(file.read_text())
    except ValueError as error:
        raise FeaturesError(f"{file} is damaged: {error}") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise FeaturesError(f"{file} is not of format {FORMAT}, which this reads")
    return info


def _replace_json(path: pathlib.Path, value: Any) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.replace(path)


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What settings were and are, a text for each that changed."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            text
            for key in sorted(before.keys() | now.keys())
            for text in differences(before.get(key), now.get(key), f"{name}.{key}")
        ]
    return [] if before == now else [f"{name.lstrip('.')} {before!r}, now {now!r}"]
