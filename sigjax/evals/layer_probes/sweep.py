"""Probes of every layer, model, fold and seed in as few programs as memory allows.

Layers of equal width share a program. On an accelerator one call trains all their
probes, as many layers at once as `memory_mib` holds features of. On CPU a call has one
layer, and as many run side by side as JAX has devices (`JAX_NUM_CPU_DEVICES`): a
layer's features and its probes' weights stay in a core's cache. What is found does not
depend on that.
"""

import dataclasses
import functools
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.evals.layer_probes import folds as fold_rules
from sigjax.evals.layer_probes import neighbours, training
from sigjax.evals.layer_probes.folds import Fold
from sigjax.evals.layer_probes.protocol import ProbeProtocol
from sigjax.evals.layer_probes.results import FUSION, Probed, Sweep
from sigjax.evals.layer_probes.standard import Standard, check_finite, standard
from sigjax.models.probe import Probe, ProbeConfig

# Probes that are one network. On CPU few, whose weights a cache holds.
_BLOCK = {"cpu": 8}
_BLOCK_ELSEWHERE = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerFeatures:
    """Features of one layer.

    Attributes:
      model: Whose.
      layer: Its name, such as `"cnn"`, `"0"`, `"12"`.
      values: Float `[n, w]`, a row for each clip; may be mapped from a file.
    """

    model: str
    layer: str
    values: np.ndarray


class _Job(NamedTuple):
    """Layers that one call probes; `weighted` if by one probe on all of them."""

    layers: tuple[int, ...]
    weighted: bool = False


def layers_of(
    model: str, values: np.ndarray, names: Sequence[str] | None = None
) -> list[LayerFeatures]:
    """The layers of float features `[n, l, w]`, named 0, 1, ... without `names`."""
    if names is None:
        names = [str(layer) for layer in range(values.shape[1])]
    return [
        LayerFeatures(model=model, layer=name, values=values[:, at])
        for at, name in enumerate(names)
    ]


def sweep(
    features: Sequence[LayerFeatures],
    label: np.ndarray,
    classes: Sequence[str],
    folds: Sequence[Fold],
    protocol: ProbeProtocol,
    *,
    memory_mib: float = 4096,
    devices: Sequence[Any] | None = None,
    keep_params: bool = False,
    on_done: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Probes all layers.

    Args:
      features: Layers of one or more models, the same clips in the same order.
      label: Int `[n]` in `[0, v)`; looked at in the folds' rows only.
      classes: Names, `v`.
      folds: Splits.
      protocol: How; its kind says what.
      memory_mib: Of features, at once on a device.
      devices: All of this process without it.
      keep_params: Whether the probes' weights are in the result.
      on_done: Told layers done and layers in all, from any thread.

    Raises:
      ValueError: Nothing to probe, two layers of one name, rows that do not fit, a fold
        that nothing can be learned from, or features that are not finite; the message
        names it.
    """
    label = np.asarray(label)
    _check_features(features, len(label))
    fold_rules.check(folds, label, classes)
    done = _Done(len(features), on_done)
    if protocol.kind == "knn":
        probed = [
            _neighbours(layer, label, len(classes), folds, protocol, done)
            for layer in features
        ]
    else:
        work = _Work(features, label, len(classes), folds, protocol, keep_params)
        devices = devices or jax.local_devices()
        probed = work.run(devices, memory_mib, done)
    return Sweep(
        protocol=protocol,
        classes=tuple(classes),
        folds=tuple(folds),
        label=label,
        probed=tuple(probed),
    )


def initial_params(
    network: ProbeConfig, width: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Weights that each seed begins with, float32 `[s, ...]` each."""
    return _initial(np.array(seeds, np.uint32), network=network, width=width)


@functools.partial(jax.jit, static_argnames=("network", "width"))
def _initial(seeds, *, network: ProbeConfig, width: int):
    shape = (1, network.layers, width) if network.layers else (1, width)

    def one(seed):
        key = jax.random.key(seed)
        return Probe(network).init(key, jnp.zeros(shape))["params"]

    return jax.vmap(one)(seeds)


def batch_order(
    train: np.ndarray, seed: int, epochs: int, batch: int, steps: int
) -> np.ndarray:
    """Rows of each step, int32 `[e, steps, batch]`; -1 fills the last.

    An epoch is a permutation of the training rows by NumPy's generator, the same on
    every machine.
    """
    rng = np.random.default_rng(seed)
    order = np.full((epochs, steps * batch), -1, np.int32)
    for epoch in order:
        epoch[: len(train)] = rng.permutation(train)
    return order.reshape(epochs, steps, batch)


class _Done:
    """Counts layers, from any thread."""

    def __init__(self, total: int, tell: Callable[[int, int], None] | None):
        self._total, self._tell = total, tell
        self._count, self._lock = 0, threading.Lock()

    def add(self, layers: int) -> None:
        with self._lock:
            self._count += layers
            if self._tell is not None:
                self._tell(self._count, self._total)


class _Work:
    """Trained probes of all layers: what jobs share, and what they find."""

    def __init__(self, features, label, classes, folds, protocol, keep_params):
        self.features, self.folds, self.protocol = features, folds, protocol
        self.label = np.asarray(label, np.int32)
        self.classes, self.keep_params = classes, keep_params
        steps = [-(-len(fold.train) // protocol.batch) for fold in folds]
        self.uneven = len(set(steps)) > 1
        order = [
            [
                batch_order(f.train, seed, protocol.epochs, protocol.batch, max(steps))
                for seed in protocol.seeds
            ]
            for f in folds
        ]
        self.rows = training.Rows(
            order=np.array(order),  # pyright: ignore[reportArgumentType]
            validation=_padded([fold.validation for fold in folds]),
            test=_padded([fold.test for fold in folds]),
        )
        self.found: dict[tuple[int, ...], Probed] = {}

    def run(self, devices, memory_mib: float, done: _Done) -> list[Probed]:
        """Probes everything; each device takes the next job when it is free."""
        jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        planned = list(self._jobs(devices[0].platform, len(devices), memory_mib))
        for job in planned:
            jobs.put(job)
        errors: list[BaseException] = []

        def worker(device) -> None:
            try:
                while not errors:
                    job = jobs.get_nowait()
                    self._run(job, device)
                    done.add(len(job.layers))
            except queue.Empty:
                return
            except BaseException as error:  # raised again in the caller's thread
                errors.append(error)

        # The caller's own thread is one of them: with one device there is no other.
        others = [threading.Thread(target=worker, args=(d,)) for d in devices[1:]]
        for thread in others:
            thread.start()
        worker(devices[0])
        for thread in others:
            thread.join()
        if errors:
            raise errors[0]
        return [self.found[key] for key in sorted(self.found)]

    def _jobs(self, platform: str, devices: int, memory_mib: float) -> Iterable[_Job]:
        if self.protocol.kind == "weighted":
            for model in dict.fromkeys(f.model for f in self.features):
                own = [i for i, f in enumerate(self.features) if f.model == model]
                yield _Job(tuple(own), weighted=True)
            return
        by_width: dict[int, list[int]] = {}
        for number, layer in enumerate(self.features):
            by_width.setdefault(layer.values.shape[1], []).append(number)
        for width, numbers in by_width.items():
            fit = int(memory_mib * 2**20 / (4 * width * len(self.label)))
            most = max(1, min(fit, -(-len(numbers) // devices)))
            size = 1 if platform == "cpu" else most
            for at in range(0, len(numbers), size):
                yield _Job(tuple(numbers[at : at + size]))

    def _run(self, job: _Job, device: Any) -> None:
        layers = [self.features[number] for number in job.layers]
        values = np.stack([np.asarray(x.values, np.float32) for x in layers])
        by = []
        for own, layer in zip(values, layers, strict=True):
            name = f"{layer.model}, layer {layer.layer}"
            check_finite(own, self.folds, name)
            by.append(standard(own, self.folds))
        network = self.protocol.network(self.classes, len(layers))
        probes = 1 if job.weighted else len(layers)
        shape = (probes, len(self.folds), len(self.protocol.seeds))
        count = int(np.prod(shape))
        most = _BLOCK.get(device.platform, _BLOCK_ELSEWHERE)
        block = -(-count // -(-count // most))
        index = np.indices(shape).reshape(3, -1)
        index = np.pad(index, ((0, 0), (0, -count % block)), mode="edge")
        data = training.Data(
            values,  # pyright: ignore[reportArgumentType]
            np.stack([x.mean for x in by], axis=1),  # pyright: ignore
            np.stack([x.scale for x in by], axis=1),  # pyright: ignore
            self.label,  # pyright: ignore[reportArgumentType]
        )
        with jax.default_device(device):
            initial = initial_params(network, values.shape[-1], self.protocol.seeds)
            fitted = training.fit(
                *jax.device_put((data, self.rows, initial), device),
                training.Index(*jax.device_put(index.astype(np.int32), device)),
                network=network,
                protocol=self.protocol,
                block=block,
                uneven=self.uneven,
                keep_params=self.keep_params or job.weighted,
            )
        fitted = jax.tree.map(
            lambda x: np.asarray(x)[:count].reshape(*shape, *x.shape[1:]), fitted
        )
        for at in range(probes):
            of_layer = jax.tree.map(lambda x, at=at: x[at], fitted)
            self._keep(job, job.layers[at], of_layer, by[at])

    def _keep(self, job: _Job, number: int, fitted, by: Standard) -> None:
        """`fitted` of one layer: `[f, s, ...]` each."""
        layer = self.features[number]
        best = fitted.best_epoch[..., None]
        ran = np.arange(self.protocol.epochs) < fitted.epochs[..., None]
        finite = np.isfinite(fitted.train_loss) & np.isfinite(fitted.validation_loss)
        weights = None
        if job.weighted:
            weights = np.exp(fitted.params["layers"].astype(np.float64))
            weights /= weights.sum(axis=-1, keepdims=True)
        history = ("train_loss", "validation_loss", "validation_uar", "learning_rate")
        # One assignment to a dict: threads do not meet.
        self.found[job.layers if job.weighted else (number,)] = Probed(
            model=layer.model,
            layer="weighted" if job.weighted else layer.layer,
            validation_uar=np.take_along_axis(fitted.validation_uar, best, axis=-1)[
                ..., 0
            ],
            best_epoch=fitted.best_epoch,
            epochs=fitted.epochs,
            probability=tuple(
                own[:, : len(fold.test)]
                for own, fold in zip(fitted.probability, self.folds, strict=True)
            ),
            constant=by.constant,
            diverged=int((ran & ~finite).any(axis=-1).sum()),
            history={name: getattr(fitted, name) for name in history},
            weights=weights,
            weighted=tuple(self.features[i].layer for i in job.layers)
            if job.weighted
            else (),
            params=fitted.params if self.keep_params else None,
        )


def _neighbours(layer, label, classes, folds, protocol, done: _Done) -> Probed:
    values = np.asarray(layer.values, np.float32)
    check_finite(values, folds, f"{layer.model}, layer {layer.layer}")
    by = standard(values, folds)
    ask = functools.partial(neighbours.classify, values, label, classes)
    found = [
        ask(fold, by, number, protocol.neighbours) for number, fold in enumerate(folds)
    ]
    none = np.full((len(folds), 1), -1)
    done.add(1)
    return Probed(
        model=layer.model,
        layer=layer.layer,
        validation_uar=np.array([[uar] for _, uar, _ in found]),
        best_epoch=none,
        epochs=none + 1,
        probability=tuple(probability[None] for *_, probability in found),
        constant=by.constant,
        neighbours=np.array([count for count, *_ in found]),
    )


def _padded(rows: Sequence[np.ndarray]) -> Any:
    """Int32 `[f, m]`, filled with -1."""
    found = np.full((len(rows), max(map(len, rows))), -1, np.int32)
    for own, filled in zip(rows, found, strict=True):
        filled[: len(own)] = own
    return found


def _check_features(features: Sequence[LayerFeatures], rows: int) -> None:
    if not features:
        raise ValueError("there are no features to probe")
    names = [(layer.model, layer.layer) for layer in features]
    if len(set(names)) < len(names):
        raise ValueError("two layers of one model have the same name")
    if FUSION in {layer.model for layer in features}:
        raise ValueError(f"a model cannot be named {FUSION!r}: results have one")
    for layer in features:
        shape = np.shape(layer.values)
        if len(shape) != 2 or shape[0] != rows:
            raise ValueError(
                f"{layer.model}, layer {layer.layer}: features {list(shape)} for"
                f" {rows} labels; [n, w] is needed"
            )
