"""The figures of a sheet, from its cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from launch.reproduction import scores
from launch.reproduction.cells import Plan
from launch.reproduction.scores import RowScore
from sigjax.config import ConfigError
from sigjax.evals import paper_figures

# UMAP takes about half a minute for them.
_MOST_POINTS = 20_000


def points(plan: Plan, rows: Sequence[RowScore]) -> list[paper_figures.Point]:
    """A point per run that has both a pretraining's losses and a score."""
    found = []
    for row, scored in zip(plan.sheet.rows, rows, strict=True):
        for seed, losses in enumerate(scored.pretrain):
            own = {name: scored.metrics[name]["seeds"][seed] for name in scored.metrics}
            if {"lmm", "mse"} <= set(losses):
                found.append(paper_figures.Point(row.title, {**losses, **own}))
    return found


def correlations(plan: Plan, rows: Sequence[RowScore]) -> list[dict[str, Any]]:
    """Pearson's r of each loss with each metric, with the paper's beside it."""
    if plan.sheet.kind != "losses":
        return []
    runs, entries = points(plan, rows), []
    for loss in ("lmm", "mse"):
        for metric in plan.sheet.metrics:
            found = paper_figures.pearson(runs, loss, metric)
            printed = plan.sheet.paper.get(loss, {}).get(metric)
            entries.append(
                {"loss": loss, "metric": metric, **found._asdict(), "paper": printed}
            )
    return entries


def draw(
    plan: Plan, rows: Sequence[RowScore], table: Mapping[str, Any], workdir: epath.Path
) -> list[epath.Path]:
    """Draws what the sheet's kind asks for, below `WORKDIR/figures`.

    Returns:
      The files written; none if no row has numbers.
    """
    sheet = plan.sheet
    folder = workdir / "figures"
    if sheet.kind == "table" or all(row.failed for row in rows):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    mark = "SIMULATED data" if table["simulated"] else f"data: {table['labelled_name']}"
    note = f"{mark}; scale {table['scale_key']}, protocol {table['protocol_key']}"
    path = folder / f"{sheet.key}.png"
    if sheet.kind == "losses":
        runs = points(plan, rows)
        if not runs:
            return []
        name = sheet.columns[0]
        paper_figures.losses_and_scores(
            path, runs, group_name=name, title=sheet.title, note=note
        )
        return [path]
    if sheet.kind == "scores":
        entries = [
            (row.title, scored.metrics, row.paper)
            for row, scored in zip(sheet.rows, rows, strict=True)
        ]
        paper_figures.scores(
            path, entries, metrics=sheet.metrics, title=sheet.title, note=note
        )
        return [path]
    return _embeddings(plan, rows, folder, note, workdir)


def _embeddings(plan, rows, folder, note: str, workdir: epath.Path) -> list[epath.Path]:
    """UMAP and PCA, and the confusion, of each model's first run."""
    # They compile: paid for by this figure alone.
    from sigjax.evals import classification_figures
    from sigjax.evals.embedding_figures import projections

    written = []
    for place, (row, scored) in enumerate(zip(plan.sheet.rows, rows, strict=True)):
        if scored.failed:
            continue
        run = workdir / "cells" / plan.places[place, 0, 0] / "run"
        predictions = scored.runs[0]
        chosen, embedding = _embedded(run, predictions)
        name = row.title.replace("+", "_").replace(" ", "_")
        figure = plan.sheet.title.partition(". ")[0]
        title = f"{figure}: {row.title}, reported people"
        stem = f"{folder}/{plan.sheet.key}_{name}"
        projections(
            f"{stem}_embeddings.png",
            embedding,
            predictions.label[chosen],
            predictions.classes,
            title=title,
            note=note,
        )
        matrix = scores.confusion(predictions)
        classification_figures.confusion(
            f"{stem}_confusion.png", matrix, predictions.classes, title=title, note=note
        )
        written += [f"{stem}_embeddings.png", f"{stem}_confusion.png"]
    return [epath.Path(path) for path in written]


def _embedded(run: epath.Path, predictions) -> tuple[np.ndarray, np.ndarray]:
    """Which of a run's predicted label windows are drawn, and their embeddings."""
    from launch.systems import load_run
    from launch.wrist.har_wrist import HarWrist
    from sigjax import export
    from sigjax.evals.embedding_figures import balanced_rows
    from sigjax.evals.windows import embed_rows

    system, _ = load_run(run)
    if not isinstance(system, HarWrist):
        raise ConfigError(f"embeddings are of runs of launch.finetune, {run} is none")
    chosen = balanced_rows(predictions.label, _MOST_POINTS, seed=0)
    model: Any = export.load(run / "bundle")
    source = system.open_data(run).windows("test")
    return chosen, embed_rows(model, source, chosen)
