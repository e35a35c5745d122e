"""How a run does on what was held out, beside principal components of equal size."""

import json
from collections.abc import Mapping
from typing import Any, cast

import jax
import numpy as np
from etils import epath

from launch.autoencoders import drawing
from launch.autoencoders.batches import over
from launch.autoencoders.drawing import Row
from launch.autoencoders.examples import ExampleSections
from launch.autoencoders.report import shown
from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.example_set import ExampleSet
from sigjax.data.examples.points import ring_centres
from sigjax.evals.autoencoders import linear, modes, neighbours
from sigjax.evals.autoencoders.linear import Pca
from sigjax.evals.autoencoders.pictures import Cloud
from sigjax.metrics.detection import roc_auc
from sigjax.tasks.adversarial import Generation
from sigjax.tasks.example_input import example_input
from sigjax.train.checkpoint import latest_variables
from sigjax.train.writer import replace_file

# Principal components of more rows hardly differ, and take long.
_PCA_ROWS, _NEIGHBOURS, _SAMPLES = 10_000, 10, 2_000
_SEED = 0


def evaluate_examples(system: ExampleSections, workdir: epath.Path) -> str:
    """Evaluates a run, on the training examples if none is held out.

    Args:
      system: As trained.
      workdir: Of the run; `eval/validation` (or `eval/train`) gets `metrics.json` and
        pictures.

    Returns:
      A table for the terminal.

    Raises:
      ConfigError: Its data cannot be read.
      sigjax.train.checkpoint.CheckpointError: It has no checkpoint.
    """
    data = system.open_data(workdir)
    task: Any = cast(Any, system).make_task(data)
    best = workdir / "best" if system.train.select else workdir
    step, variables = latest_variables(best)
    split = "validation" if data.validation_source else "train"
    found = data.held_out_set if data.validation_source else data.train_set
    folder = workdir / "eval" / split
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = Evaluation(task, variables, system.data, found, data.train_set)
    figures = evaluation.figures()
    side = "held-out" if split == "validation" else "training"
    title = f"{workdir.name}, step {step}, {side} examples"
    evaluation.draw(folder, title)
    text = json.dumps({"step": step, "examples": len(found.x), **figures}, indent=1)
    replace_file(folder / "metrics.json", f"{text}\n".encode())
    return table(figures, f"{title}: {len(found.x)}", folder)


class Evaluation:
    """Codes, reconstructions and figures of one set of examples.

    Attributes:
      pca: Principal components, as many as a code has numbers; None of a generator, or
        if a code has as many as the examples.
    """

    def __init__(
        self,
        task: Any,
        variables: Mapping[str, Any],
        config: ExampleDataConfig,
        found: ExampleSet,
        fitted: ExampleSet,
    ):
        """Encodes the examples and fits PCA.

        Args:
          task: Reconstruction, Generation or AdversarialAutoencoding.
          variables: Of its model.
          config: How they were read: batch size, and which classes were trained on.
          found: Which are evaluated.
          fitted: Which PCA is fitted to.
        """
        self.task, self.variables, self.config = task, variables, config
        self.found, self.fitted = found, fitted
        self.key = jax.random.key(_SEED)
        self.generates = isinstance(task, Generation)
        m = task.model_config
        self.shape = m.output_shape if self.generates else m.input_shape
        self.input = self._input(found.x)
        self.pca: Pca | None = None
        if not self.generates:
            self.code = self._over(task.codes, found.x).reshape(len(found.x), -1)
            self.pca = self._fit_pca()

    def _over(self, function, x):
        size = self.config.batch_size
        return over(function, x, self.variables, batch_size=size)

    def _input(self, x: np.ndarray) -> np.ndarray:
        own = self.task.config.input
        return self._over(lambda _, raw: example_input(raw, own, self.shape), x)

    def _fit_pca(self) -> Pca | None:
        """None if a code has as many numbers as there are."""
        x, size = self.fitted.x, self.code.shape[1]
        if len(x) > _PCA_ROWS:
            rows = np.random.default_rng(_SEED).permutation(len(x))[:_PCA_ROWS]
            x = x[np.sort(rows)]
        if size >= min(len(x) - 1, int(np.prod(self.shape))):
            return None
        return linear.fit_pca(self._input(x), size)

    def figures(self) -> dict[str, float]:
        """Of the loss, of the codes, and of samples."""
        found = self._losses()
        if not self.generates:
            found |= self._compression() | self._neighbourhood() | self._detection()
        return found | self._samples()

    def _losses(self) -> dict[str, float]:
        def evaluate(variables, x):
            return self.task.evaluate(variables, {"x": x}, self.key)

        values = self._over(evaluate, self.found.x)
        means = {name: np.asarray(v.mean(axis=0)) for name, v in values.items()}
        summarise = getattr(self.task, "summarise", None)
        if summarise is not None:
            return dict(summarise(means))
        return {name: float(value) for name, value in means.items()}

    def _compression(self) -> dict[str, float]:
        """Of clean examples: squared errors, and shares of the variance missed."""
        made = self._over(self.task.reconstruct, self.found.x)
        found = {
            "code_size": self.code.shape[1],
            "values": int(np.prod(self.input.shape[1:])),
            "clean_mse": float(linear.squared_error(self.input, made).mean()),
        }
        if self.pca is not None:
            own, mean = self.pca.reconstruct(self.input), self.pca.mean
            found["pca_mse"] = float(linear.squared_error(self.input, own).mean())
            found["unexplained"] = linear.unexplained(self.input, made, mean)
            found["pca_unexplained"] = linear.unexplained(self.input, own, mean)
        return found

    def _neighbourhood(self) -> dict[str, float]:
        """Purity of codes, of PCA's and of the inputs, where labels are known."""
        known = self.found.label >= 0
        label, group = self.found.label[known], self.found.group[known]
        if len(np.unique(label)) < 2 or len(label) <= _NEIGHBOURS:
            return {}
        spaces = {"": self.code[known], "input_": self.input[known]}
        if self.pca is not None:
            spaces["pca_"] = self.pca.codes(self.input[known])
        found = {
            f"{name}purity": float(neighbours.purity(points, label).mean())
            for name, points in spaces.items()
        }
        found["chance_purity"] = neighbours.chance(label)
        names, counts = np.unique(group, return_counts=True)
        if len(names) > 1 and len(label) - counts.max() >= _NEIGHBOURS:
            for name, points in spaces.items():
                apart = neighbours.purity(points, label, group=group)
                found[f"{name}purity_of_other_groups"] = float(apart.mean())
        return found

    def _detection(self) -> dict[str, float]:
        """How well scores tell classes apart that were not trained on."""
        wanted, label = self.config.trained_classes, self.found.label
        if not wanted:
            return {}
        normal = [self.found.classes.index(name) for name in wanted]
        odd = (~np.isin(label[label >= 0], normal)).astype(np.int32)
        if len(np.unique(odd)) < 2:
            return {}
        score = self._over(self.task.score, self.found.x[label >= 0])
        return {"auc_of_other_classes": float(roc_auc(odd, score))}

    def _samples(self) -> dict[str, float]:
        """Of a generator of points the modes; else whether samples are told apart."""
        made = self.sampled(_SAMPLES)
        if made is None:
            return {}
        c = self.config
        if c.source == "points" and c.points.kind == "ring":
            found = modes.coverage(made, ring_centres(c.points), max(c.points.sd, 1e-6))
            return {
                "modes_covered": found.covered,
                "modes": found.modes,
                "good_samples": found.good,
            }
        count = min(len(made), len(self.input))
        if count < 2:
            return {}
        apart = neighbours.told_apart(self.input[:count], made[:count])
        return {"samples_told_apart": float(apart.mean())}

    def sampled(self, count: int) -> np.ndarray | None:
        """Samples `[count, *input_shape]`; None of what has no prior."""
        task, variables = self.task, self.variables
        if hasattr(task, "sample"):
            draw = jax.jit(lambda v, key: task.sample(v, key, count))
            return np.asarray(draw(variables, self.key))
        if not task.variational:
            return None
        shape = (count, *task.model_config.code_shape)
        z = np.asarray(jax.random.normal(self.key, shape))
        return self._over(task.generate, z)

    def draw(self, folder: epath.Path, title: str) -> None:
        """Writes pictures of some examples, and of codes of two numbers."""
        own = self.task.config.input
        every = np.arange(len(self.found.x))
        first = self.found.rows(drawing.spread(every, self.config.batch_size))
        batch = {"x": first.x, "label": first.label}
        look = jax.jit(lambda v, b, key: shown(self.task, v, b, key))
        output = jax.device_get(look(self.variables, batch, self.key))
        names = first.ids.tolist()
        if not self.generates:
            order = ("corrupted", "reconstruction")
            rows = [Row("input", output["input"])]
            rows += [Row(name, output[name]) for name in order if name in output]
            if self.pca is not None:
                seen = output.get("corrupted", output["input"])
                name = f"PCA, {self.code.shape[1]} numbers"
                rows.append(Row(name, self.pca.reconstruct(seen)))
            path = folder / drawing.RECONSTRUCTION
            drawing.draw_rows(path, rows, self.found, own, title=title, names=names)
        if not self.generates and self.code.shape[1] == 2:
            self._draw_codes(folder, title)
        made = self.sampled(_SAMPLES)
        if made is not None:
            rows = [Row("data", self.input[:_SAMPLES]), Row("samples", made)]
            path = folder / drawing.SAMPLES
            drawing.draw_rows(path, rows, self.found, own, title=title, names=names)

    def _draw_codes(self, folder: epath.Path, title: str) -> None:
        label = self.found.label if (self.found.label >= 0).all() else None
        panels = [Cloud("codes", self.code, label)]
        if self.pca is not None:
            pca = self.pca.codes(self.input)
            names = ("first component", "second")
            panels.append(Cloud("PCA", pca, label, x=names[0], y=names[1]))
        path = folder / drawing.CODE_PLANE
        drawing.draw_codes(path, panels, self.found, title=title)


_SAYINGS = {
    "clean_mse": "squared error of clean examples",
    "pca_mse": "  of PCA with as many numbers",
    "unexplained": "share of the variance missed",
    "pca_unexplained": "  by PCA",
    "purity": f"neighbours of one class, of {_NEIGHBOURS}",
    "pca_purity": "  of PCA",
    "input_purity": "  of the inputs themselves",
    "chance_purity": "  by chance",
    "purity_of_other_groups": "neighbours of other groups of one class",
    "pca_purity_of_other_groups": "  of PCA",
    "input_purity_of_other_groups": "  of the inputs themselves",
    "samples_told_apart": "samples told from data (0.5 is best)",
    "snr_gain_db": "gain in signal-to-noise ratio, dB",
    "auc_of_other_classes": "AUC of the score for other classes",
}


def table(figures: Mapping[str, float], title: str, folder: epath.Path) -> str:
    """Figures and files for the terminal."""
    names = [name for name in _SAYINGS if name in figures]
    names = [name for name in figures if name not in _SAYINGS] + names
    lines = [
        f"  {_SAYINGS.get(name, name.replace('_', ' ')):<42} {figures[name]:>12.5g}"
        for name in names
    ]
    files = ", ".join(sorted(path.name for path in folder.iterdir()))
    return "\n".join([title, *lines, f"{folder}: {files}"])
