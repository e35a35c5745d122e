"""What probes leave behind: tables, figures, predictions, and at last result.json."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from launch.calls.probing_calls import Clips, ProbingError
from sigjax.evals.layer_features import differences
from sigjax.evals.layer_probes import Sweep, report
from sigjax.evals.layer_probes.results import FUSION
from sigjax.train.writer import replace_file

__all__ = ["clear", "differences", "known", "read_confusions", "write"]

_RESULT, _TABLE, _PREDICTIONS = "result.json", "table.md", "predictions.parquet"
_LAYERS, _WEIGHTS, _CONFUSION = "layers.png", "weights.png", "confusion.png"
# Columns of predictions hold probabilities under this and the name of the class.
_PREFIX = "p_"
# Panels of a figure of confusions, beyond which the fusion is alone.
_MOST_PANELS = 3


def known(output: epath.Path, form: int) -> dict[str, Any] | None:
    """What an earlier run found; None if there is none that came to its end.

    Raises:
      ProbingError: What is there is not of this command.
    """
    path = output / _RESULT
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != form:
        raise ProbingError(
            f"{path} is not of this command, or of another version: choose another"
            " --output, or delete it"
        )
    return found


def clear(output: epath.Path, kinds: Iterable[str]) -> None:
    """Takes away an earlier run's files, `result.json` first; its parts stay."""
    for name in (_RESULT, _TABLE, _PREDICTIONS, _LAYERS, _WEIGHTS):
        (output / name).unlink(missing_ok=True)
    for kind in kinds:
        folder = output / kind
        for name in (*report.FILES, _CONFUSION):
            (folder / name).unlink(missing_ok=True)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def write(
    output: epath.Path,
    sweeps: Mapping[str, Sweep],
    clips: Clips,
    about: Mapping[str, Any],
    *,
    fuse: bool = True,
    title: str = "",
    note: str = "",
) -> dict[str, Any]:
    """Writes all that was found; `result.json` last, so with it the rest is whole.

    Args:
      output: The folder.
      sweeps: By kind of probe.
      clips: What was probed.
      about: More for `result.json`.
      fuse: Whether there are fusions.
      title: Over figures.
      note: Under it.

    Returns:
      What `result.json` holds.
    """
    kinds = {}
    for kind, found in sweeps.items():
        kinds[kind] = report.write(output / kind, found, fuse=fuse)
    table = report.table(*kinds.values())
    legend = report.legend(*kinds.values())
    told = {
        **about,
        "clips": clips.counts,
        "warnings": list(clips.warnings),
        "chance": _chance(clips),
        "table": table,
        "legend": legend,
        "kinds": kinds,
    }
    _write_predictions(output / _PREDICTIONS, sweeps, clips, fuse)
    names = ", ".join(m.name for m in clips.models)
    _draw(output, sweeps, told, title or f"Probes: {names}", note, fuse)
    below = "".join(f"- {line}\n" for line in legend)
    replace_file(output / _TABLE, f"{table}\n{below}".encode())
    text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    replace_file(output / _RESULT, text.encode())
    return json.loads(text)


def _chance(clips: Clips) -> float:
    """UAR of guessing: one by the classes that are tested, mean over folds."""
    label = clips.label
    tested = [len(np.unique(label[fold.test])) for fold in clips.folds]
    return float(np.mean([1 / n for n in tested]))


def _draw(output, sweeps, told, title: str, note: str, fuse: bool) -> None:
    from sigjax.evals.layer_probes import figures  # Matplotlib takes a second

    curves = [
        figures.Curves(
            name=kind,
            layers=one["layers"],
            models=one["models"],
            chance=told["chance"],
        )
        for kind, one in told["kinds"].items()
        if kind != "weighted"
    ]
    if curves:
        figures.layer_curves(
            output / _LAYERS, curves, title=title, note=note, one_scale=True
        )
    weighted = told["kinds"].get("weighted")
    if weighted:
        figures.layer_weights(
            output / _WEIGHTS, weighted["layers"], title=title, note=note
        )
    for kind, found in sweeps.items():
        matrices = report.confusions(found, fuse=fuse)
        if FUSION in matrices and len(matrices) > _MOST_PANELS:
            matrices = {FUSION: matrices[FUSION]}
        panels = [(n, m, found.classes) for n, m in list(matrices.items())]
        figures.confusion_panels(
            output / kind / _CONFUSION,
            panels[:_MOST_PANELS],
            title=f"{title}: {kind}",
            note=note,
        )


def _write_predictions(
    path: epath.Path, sweeps: Mapping[str, Sweep], clips: Clips, fuse: bool
) -> None:
    """Posteriors of every test clip, by the chosen layer of each model, and fused."""
    tables = [
        table
        for kind, found in sweeps.items()
        for table in _predictions(kind, found, clips, fuse)
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.concat_tables(tables), buffer)
    replace_file(path, buffer.getvalue())


def _predictions(kind: str, found: Sweep, clips: Clips, fuse: bool) -> Iterator[Any]:
    ids = np.array([call.id for call in clips.manifest.calls], object)
    names = np.array(found.classes, object)
    for model, probability in report.reported(found, fuse=fuse).items():
        layers = _layers(found, model)
        for fold, of_fold, layer in zip(found.folds, probability, layers, strict=True):
            for seed, values in zip(_seeds(found), of_fold, strict=True):
                count = len(fold.test)
                columns: dict[str, Any] = {
                    "id": ids[fold.test],
                    "label": names[found.label[fold.test]],
                    "predicted": names[values.argmax(axis=-1)],
                    "kind": [kind] * count,
                    "model": [model] * count,
                    "layer": [layer] * count,
                    "fold": [fold.name] * count,
                    "seed": np.full(count, seed),
                }
                for name, column in zip(found.classes, values.T, strict=True):
                    columns[f"{_PREFIX}{name}"] = np.ascontiguousarray(
                        column, np.float32
                    )
                yield pa.table(columns)


def _layers(found: Sweep, model: str) -> Sequence[str]:
    """The chosen layer of each fold; of a fusion none."""
    if model == FUSION:
        return [""] * len(found.folds)
    return [probed.layer for probed in found.chosen(model)]


def _seeds(found: Sweep) -> Sequence[int]:
    # Neighbours have none.
    return (0,) if found.protocol.kind == "knn" else found.protocol.seeds


def read_confusions(output: epath.PathLike, kind: str) -> dict[str, np.ndarray]:
    """Counts `[v, v]` by model and of the fusion, over all folds and seeds."""
    return report.read_confusions(epath.Path(output) / kind)
