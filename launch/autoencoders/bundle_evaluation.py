"""A bundle of an autoencoder on given examples: error, and PCA of equal size beside it.

The figures and pictures are those of `launch.evaluate --workdir=RUN`. PCA there is
fitted to the training examples, which a bundle does not hold: here to the others of the
set, where `--split` leaves some, else to the very examples that are evaluated, which is
more than any autoencoder was given; metrics.json and the table say which.
"""

import dataclasses
import json
from typing import Any

from etils import epath

from launch.autoencoders.evaluation import Evaluation, table
from launch.autoencoders.sets import chosen, of_same_set
from launch.autoencoders.use import open_bundle
from launch.evaluating import Asked
from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.example_set import ExampleSet
from sigjax.inference.autoencoder import AutoencoderModel
from sigjax.train.writer import prepare_workdir, replace_file

_BATCH = 64


def evaluate_bundle(
    bundle: epath.PathLike,
    dataset: epath.PathLike,
    output: epath.PathLike,
    asked: Asked,
) -> str:
    """Evaluates an autoencoder; see `launch.evaluating.Room`.

    Raises:
      BundleError: It is none.
      ExampleError: See `launch.autoencoders.sets.chosen`.
      EvaluationError: Likewise.
      FileNotFoundError: There is no such file.
    """
    model = open_bundle(bundle)
    given = chosen(model, bundle, dataset, asked)
    found, remarks = given.found, list(given.remarks)
    fitted = given.rest if len(given.rest.x) else found
    if of_same_set(model, dataset):
        remarks.append(
            "the model was trained on examples of this set: figures of those that its"
            " run holds out are those of --workdir=RUN"
        )
    config, left_out = _config(model, found, asked.batch_size or _BATCH)
    evaluation = Evaluation(model.task, model.variables, config, found, fitted)
    figures = evaluation.figures()
    if evaluation.pca is not None:
        others = f"the other {len(fitted.x)} examples of the set"
        itself = "the examples that are evaluated, which favours it"
        remarks.append(f"PCA is fitted to {itself if fitted is found else others}")
    folder = prepare_workdir(output)
    title = f"{epath.Path(bundle).name}, {given.side}"
    evaluation.draw(folder, title)
    about = {
        "bundle": str(bundle),
        "dataset": {"path": str(dataset), "origin": found.origin},
        "side": given.side,
        "remarks": [*remarks, *left_out],
    }
    every = {"examples": len(found.x), **figures, "about": about}
    replace_file(folder / "metrics.json", f"{json.dumps(every, indent=1)}\n".encode())
    heading = "\n".join(["", f"{title}: {len(found.x)} examples", *about["remarks"]])
    return table(figures, heading, folder)


def _config(
    model: AutoencoderModel, found: ExampleSet, batch_size: int
) -> tuple[ExampleDataConfig, list[str]]:
    """What the evaluation asks of the run's data; what of it cannot be asked."""
    saved: Any = (model.info.get("source_run") or {}).get("config") or {}
    wanted = tuple((saved.get("data") or {}).get("trained_classes") or ())
    config = ExampleDataConfig(source="arrays", batch_size=batch_size)
    absent = [name for name in wanted if name not in found.classes]
    if absent:
        told = (
            f"trained on {', '.join(wanted)}, and the set has no class"
            f" {', '.join(absent)}: how scores tell others apart is not evaluated"
        )
        return config, [told]
    return dataclasses.replace(config, trained_classes=wanted), []
