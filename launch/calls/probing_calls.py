"""Which calls are probed: those that all models know, and how they are divided."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from etils import epath

from sigjax.data.calls import overview, splits
from sigjax.data.calls.manifest import Call, CallManifest, with_splits
from sigjax.data.calls.splits import Division
from sigjax.evals.layer_features import ClipFeatures, FeaturesError
from sigjax.evals.layer_probes import Fold, LayerFeatures

Validation = Literal["given", "groups", "share"]
VALIDATIONS: tuple[Validation, ...] = ("given", "groups", "share")
_NAMED = 3


class ProbingError(ValueError):
    """What was asked for cannot be probed; says what to change."""


class Model(NamedTuple):
    """A folder of features, and its name in tables."""

    name: str
    folder: str
    features: ClipFeatures


class Clips(NamedTuple):
    """What is probed.

    Attributes:
      models: Whose features.
      rows: Of each model, int64 `[n]`: where its features of each call are.
      manifest: The `n` calls, as they are divided, and all classes.
      folds: Who is in which split.
      counts: Calls that are used, and those that are not by reason.
      warnings: What a user should read before trusting a score.
    """

    models: tuple[Model, ...]
    rows: tuple[np.ndarray, ...]
    manifest: CallManifest
    folds: tuple[Fold, ...]
    counts: dict[str, int]
    warnings: tuple[str, ...]

    @property
    def label(self) -> np.ndarray:
        """Int32 `[n]`."""
        return self.manifest.labels

    def layers(self, model: int, names: Sequence[str] = ()) -> list[LayerFeatures]:
        """The layers of a model, or those of some names; read when they are needed."""
        own, rows = self.models[model], self.rows[model]
        return [
            LayerFeatures(
                model=own.name,
                layer=layer,
                values=_Layer(own, rows, at),  # pyright: ignore[reportArgumentType]
            )
            for at, layer in enumerate(own.features.layers)
            if not names or layer in names
        ]


class _Layer:
    """Features `[n, w]` of a layer, read from the file whenever they are asked for."""

    def __init__(self, model: Model, rows: np.ndarray, layer: int):
        self._model, self._rows, self._layer = model, rows, layer
        self.shape = (len(rows), model.features.features.shape[2])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Raises FeaturesError where they are not finite, and names a call."""
        own = self._model.features
        values = own.features[self._rows, self._layer]
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            first = str(own.ids[self._rows[np.flatnonzero(~finite)[0]]])
            raise FeaturesError(
                f"{self._model.folder}, layer {own.layers[self._layer]}: features of"
                f" call {first!r} are not finite, one of {(~finite).sum():,} calls;"
                " take them out of the manifest and extract again"
            )
        return values if dtype is None else values.astype(dtype, copy=False)


def open_models(features: Sequence[str]) -> tuple[Model, ...]:
    """Opens folders of `launch.extract`, each `FOLDER` or `NAME=FOLDER`.

    Raises:
      ProbingError: None are given, or two have one name.
      FeaturesError: A folder holds none, or those of a run that has not ended.
    """
    found: list[Model] = []
    for given in features:
        name, _, folder = given.partition("=")
        # A folder may have "=" in its name.
        if not folder or epath.Path(given).expanduser().exists():
            folder = given
            name = epath.Path(given).expanduser().resolve().name
        if not name:
            raise ProbingError(f"{given!r} names no model: give NAME=FOLDER")
        for other in found:
            if other.name == name:
                raise ProbingError(
                    f"{other.folder} and {folder} would both be called {name!r}: give"
                    " NAME=FOLDER"
                )
        found.append(Model(name, folder, ClipFeatures.open(folder)))
    if not found:
        raise ProbingError("no features: give folders of launch.extract")
    return tuple(found)


def matched(models: Sequence[Model], split: str) -> Clips:
    """The calls that all models know and whose class is known, not yet divided.

    Raises:
      ProbingError: There are none, or models know different things of a call.
    """
    rows = [
        {name: row for row, name in enumerate(m.features.ids.tolist())} for m in models
    ]
    first, warnings = models[0].features, []
    common = [c for c in first.calls if all(c.id in own for own in rows)]
    if not common:
        ids = ", ".join(f"{m.name}: {str(m.features.ids[0])!r}..." for m in models)
        raise ProbingError(f"no call is in all of the folders ({ids})")
    every = {name for own in rows for name in own}
    for model, own in zip(models, rows, strict=True):
        missing = sorted(every - own.keys())
        if missing:
            warnings.append(
                f"{model.name} lacks {len(missing):,} of {len(every):,} calls"
                f" ({_listed(missing)}): no model is probed on them"
            )
        _check_same(models[0], model, common, own, split)
    labelled = [call for call in common if call.label]
    if not labelled:
        raise ProbingError(
            f"none of {len(common):,} calls has a label: fill the manifest's column"
            " 'label' and run launch.extract again, which computes nothing anew"
        )
    if len(labelled) < len(common):
        warnings.append(
            f"{len(common) - len(labelled):,} calls have no label and are left out"
        )
    return Clips(
        models=tuple(models),
        rows=tuple(
            np.array([own[call.id] for call in labelled], np.int64) for own in rows
        ),
        manifest=CallManifest(
            root=epath.Path("."), calls=tuple(labelled), classes=first.classes
        ),
        folds=(),
        counts={
            "not in all models": len(every) - len(common),
            "without a label": len(common) - len(labelled),
        },
        warnings=tuple(warnings),
    )


def _check_same(first: Model, model: Model, common, rows, split: str) -> None:
    """Refuses models that know different things of a call."""
    facts = ("label", "group", "start_s", "end_s")
    facts += ("split",) if split == "manifest" else ()
    for fact in facts:
        other = [
            (call, model.features.calls[rows[call.id]])
            for call in common
            if getattr(model.features.calls[rows[call.id]], fact) != getattr(call, fact)
        ]
        if other:
            ours, theirs = other[0]
            raise ProbingError(
                f"{len(other):,} calls differ in {fact} between {first.name} and"
                f" {model.name}, such as {ours.id!r}: {getattr(ours, fact)!r} and"
                f" {getattr(theirs, fact)!r}. Run launch.extract again with one"
                " manifest for all models: what is known is not computed anew"
            )


def divided(
    clips: Clips,
    *,
    split: str,
    fold_count: int = 5,
    validation: Validation = "given",
    validation_fraction: float = 0.2,
    seed: int | None = None,
) -> Clips:
    """Divides calls; those that are in no split are left out.

    Args:
      clips: As `matched` found them.
      split: `"manifest"`, or one of `splits.METHODS` to divide anew.
      fold_count: Of `"folds"`.
      validation: `"given"` is the manifest's, of folds the following fold, and without
        these it is taken from the training calls: whole groups if there are at least
        five, else a share of each class. `"groups"` and `"share"` take it there in any
        case; calls that were to validate are then trained on, too.
      validation_fraction: Of the training calls, if it is taken there.
      seed: Of random divisions; by default 42 of the paper's, else 0.

    Raises:
      ProbingError: A fraction that is none.
      ManifestError: The calls cannot be divided so.
    """
    if not 0 < validation_fraction < 1:
        raise ProbingError(
            f"validation_fraction {validation_fraction} is not between 0 and 1"
        )
    manifest = clips.manifest
    if split != "manifest":
        method: Any = split
        names = splits.divide(manifest.calls, method, seed=seed, count=fold_count)
        manifest = with_splits(manifest, names)
    calls, warnings = manifest.calls, list(clips.warnings)
    folds, taken = [], []
    for division in splits.divisions(calls):
        whole = _with_validation(
            division, calls, validation, validation_fraction, seed or 0
        )
        if len(whole.validation) and whole is not division:
            taken.append(whole)
        rows = {name: getattr(whole, name) for name in ("train", "validation", "test")}
        folds.append(Fold(name=division.name or "all", **rows))
    used = np.unique(np.concatenate([_rows(fold) for fold in folds]))
    counts = {
        "used": len(used),
        **clips.counts,
        "in no split": len(calls) - len(used),
    }
    warnings += overview.warnings(manifest)
    warnings += _of_validation(taken, calls)
    if len(folds) > 1 or taken:
        warnings += _untrained(folds, manifest)
    return clips._replace(
        manifest=manifest, folds=tuple(folds), counts=counts, warnings=tuple(warnings)
    )


def _with_validation(
    division: Division,
    calls: Sequence[Call],
    validation: Validation,
    fraction: float,
    seed: int,
) -> Division:
    if validation == "given":
        return splits.with_validation(division, calls, fraction=fraction, seed=seed)
    own = np.sort(np.concatenate([division.train, division.validation]))
    named = splits.divide(
        [calls[row] for row in own],
        "grouped" if validation == "groups" else "stratified",
        fractions=(1 - fraction, fraction, 0.0),
        seed=seed,
    )
    part = np.array(named)
    return dataclasses.replace(
        division, train=own[part == "train"], validation=own[part == "validation"]
    )


def _of_validation(taken: Sequence[Division], calls: Sequence[Call]) -> list[str]:
    """What is to be known of validation calls that were taken from training."""
    shared: set[str] = set()
    for division in taken:
        trained = {calls[row].source for row in division.train}
        shared |= trained & {calls[row].source for row in division.validation}
    if not shared:
        return []
    return [
        f"validation calls were taken from training at random: {len(shared):,} groups"
        f" ({_listed(sorted(shared))}) are on both sides, and layers are chosen with"
        " their help; --validation=groups keeps them apart"
    ]


def _untrained(folds: Sequence[Fold], manifest: CallManifest) -> list[str]:
    """Classes that a fold tests and does not train on."""
    found, label = [], manifest.labels
    for fold in folds:
        numbers = np.setdiff1d(label[fold.test], label[fold.train])
        if len(numbers):
            names = [manifest.classes[number] for number in numbers]
            found.append(
                f"fold {fold.name!r} tests {len(names):,} classes that it does not"
                f" train on, whose recall is 0: {_listed(names)}"
            )
    return found


def _rows(fold: Fold) -> np.ndarray:
    return np.concatenate([fold.train, fold.validation, fold.test])


def _listed(names: Sequence[str]) -> str:
    more = "..." if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
