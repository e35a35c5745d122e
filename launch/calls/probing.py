"""From folders of features to the table: probes of all layers of all models.

    found = run_probing(Probing(features=("features/hubert",), output="probes"))

The work behind `python -m launch.probe --features=...`.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from etils import epath

from launch import runtime
from launch.calls import probing_files, probing_parts
from launch.calls.probing_calls import (
    VALIDATIONS,
    Clips,
    Model,
    ProbingError,
    Validation,
    divided,
    matched,
    open_models,
)
from launch.calls.progress import LayerBar
from sigjax.data.calls.splits import METHODS
from sigjax.evals.layer_features import digest_of
from sigjax.evals.layer_probes import (
    PROTOCOLS,
    Probed,
    ProbeProtocol,
    Sweep,
    protocol,
    sweep,
)
from sigjax.evals.layer_probes import folds as fold_rules
from sigjax.evals.layer_probes.results import FUSION
from sigjax.train.writer import prepare_workdir

KINDS = ("mlp", "linear", "weighted", "knn")
SPLITS = ("manifest", *METHODS)
FORMAT = 1
# What does not change what is found.
_ASIDE = ("features", "output", "memory_mib", "overwrite")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probing:
    """What is probed, and how.

    Attributes:
      features: Folders of `launch.extract`, a model each: `FOLDER`, which names it, or
        `NAME=FOLDER`.
      output: Folder of what is found.
      protocol: `"default"` or `"paper"`; see `sigjax.evals.layer_probes.protocol`.
      kinds: Of probes, some of `KINDS`.
      layers: Names of those to probe; all without it.
      split: `"manifest"`, or a method of `sigjax.data.calls.splits` to divide anew.
      folds: How many, of `split="folds"`.
      validation: Where validation calls come from: see `probing_calls.divided`.
      validation_fraction: Of the training calls, where they are taken from these.
      split_seed: Of random divisions; by default 42 of the paper's, else 0.
      fuse: Whether models are fused: all, and of three or four every two as well.
      seeds: Of the probes; by default the protocol's.
      epochs: At most; by default the protocol's.
      batch: Clips of a step; by default the protocol's.
      neighbours: Numbers that kNN chooses from; by default the protocol's.
      title: Over figures.
      note: Under the title, such as `"random weights"`.
      memory_mib: Of features on a device at once.
      overwrite: Whether what other settings found in `output` may be replaced.
    """

    features: tuple[str, ...]
    output: str
    protocol: str = "default"
    kinds: tuple[str, ...] = ("mlp",)
    layers: tuple[str, ...] = ()
    split: str = "manifest"
    folds: int = 5
    validation: Validation = "given"
    validation_fraction: float = 0.2
    split_seed: int | None = None
    fuse: bool = True
    seeds: tuple[int, ...] = ()
    epochs: int | None = None
    batch: int | None = None
    neighbours: tuple[int, ...] = ()
    title: str = ""
    note: str = ""
    memory_mib: float = 4096
    overwrite: bool = False

    def __post_init__(self):
        """Refuses what there is not."""
        for name, values, known in (
            ("protocol", (self.protocol,), PROTOCOLS),
            ("kind", self.kinds, KINDS),
            ("split", (self.split,), SPLITS),
            ("validation", (self.validation,), VALIDATIONS),
        ):
            for value in values:
                if value not in known:
                    raise ProbingError(
                        f"{name} {value!r} is none of {', '.join(known)}"
                    )
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ProbingError(f"kinds {self.kinds}: name each once")

    def protocol_of(self, kind: str) -> ProbeProtocol:
        """How probes of a kind are trained.

        Raises:
          ProbingError: A number without meaning.
        """
        given = {
            name: getattr(self, name)
            for name in ("seeds", "epochs", "batch", "neighbours")
            if getattr(self, name) not in (None, ())
        }
        try:
            return protocol(self.protocol, kind=kind, **given)
        except ValueError as error:
            raise ProbingError(str(error)) from error


def run_probing(
    probing: Probing, say: Callable[[str], None] = print, *, shown: bool = True
) -> dict[str, Any]:
    """Probes what is asked for, unless `output` has it.

    Args:
      probing: What.
      say: Told what a user should read.
      shown: Whether a bar shows layers done.

    Returns:
      What `result.json` holds: `kinds`, by kind what `report.summary` says and `pairs`;
      `models`, `clips`, `warnings`, `chance`, `table` (Markdown), `legend`,
      `settings`.

    Raises:
      ProbingError: What is asked for cannot be probed.
      FeaturesError: A folder of features cannot be used.
      ManifestError: The calls cannot be divided so.
    """
    began = time.monotonic()
    models = open_models(probing.features)
    output = prepare_workdir(probing.output)
    settings = _settings(probing, models)
    known = probing_files.known(output, FORMAT)
    if known is not None:
        if known["settings"] == settings:
            say(f"{output} has this already: nothing was computed")
            _tell(known, output, say)
            return known
        changed = probing_files.differences(known["settings"], settings)
        if not probing.overwrite:
            raise ProbingError(
                f"{output} has probes of other settings: {'; '.join(changed)}. Choose"
                " another --output, or replace them with --overwrite"
            )
        say(f"{output} has probes of other settings, which are replaced")
    clips = divided(
        matched(models, probing.split),
        split=probing.split,
        fold_count=probing.folds,
        validation=probing.validation,
        validation_fraction=probing.validation_fraction,
        seed=probing.split_seed,
    )
    _check(probing, clips)
    for line in _clip_lines(clips):
        say(line)
    sweeps = {
        kind: _sweep(probing, clips, kind, output, shown) for kind in probing.kinds
    }
    probing_files.clear(output, KINDS)
    found = probing_files.write(
        output,
        sweeps,
        clips,
        {
            "format": FORMAT,
            "settings": settings,
            "models": {m.name: _about(m) for m in models},
            **runtime.provenance(),
            "seconds": round(time.monotonic() - began, 1),
        },
        fuse=probing.fuse,
        title=probing.title,
        note=probing.note,
    )
    _tell(found, output, say)
    return found


def _settings(probing: Probing, models: Sequence[Model]) -> dict[str, Any]:
    """All that results depend on, as JSON has it."""
    given = {
        field.name: getattr(probing, field.name)
        for field in dataclasses.fields(probing)
        if field.name not in _ASIDE
    }
    given["features"] = {m.name: m.features.fingerprint for m in models}
    return json.loads(json.dumps(given))


def _about(model: Model) -> dict[str, Any]:
    info = model.features.info
    return {
        "folder": model.folder,
        "bundle": info.get("bundle", ""),
        "clips": len(model.features),
        "layers": list(model.features.layers),
        "width": int(model.features.features.shape[2]),
    }


def _check(probing: Probing, clips: Clips) -> None:
    """Refuses what cannot be probed before anything is.

    Raises:
      ProbingError: Says what.
    """
    for model in clips.models:
        if model.name == FUSION:
            raise ProbingError(f"a model cannot be named {FUSION!r}: give NAME=FOLDER")
        unknown = [x for x in probing.layers if x not in model.features.layers]
        if unknown:
            raise ProbingError(
                f"{model.name} has no layer {unknown[0]!r}; it has"
                f" {', '.join(model.features.layers)}"
            )
    try:
        fold_rules.check(clips.folds, clips.label, clips.manifest.classes)
    except ValueError as error:
        raise ProbingError(
            f"{error}. The splits are of --split={probing.split}; {SPLITS[1:]} divide"
            " the calls anew"
        ) from error
    if "knn" in probing.kinds:
        least = min(probing.protocol_of("knn").neighbours)
        for fold in clips.folds:
            if len(fold.train) < least:
                raise ProbingError(
                    f"fold {fold.name!r} trains on {len(fold.train)} clips: fewer than"
                    f" {least} neighbours; give smaller --neighbours"
                )


def _clip_lines(clips: Clips) -> Iterator[str]:
    used = clips.counts["used"]
    names = ", ".join(m.name for m in clips.models)
    yield f"{used:>8,} calls of {len(clips.manifest.classes)} classes; models: {names}"
    for reason, count in clips.counts.items():
        if count and reason != "used":
            yield f"{count:>8,} left out: {reason}"
    for fold in clips.folds:
        sizes = (len(fold.train), len(fold.validation), len(fold.test))
        texts = (f"{n:,}" for n in sizes)
        yield f"{fold.name:>16}: {' / '.join(texts)} train / validation / test"
    for text in clips.warnings:
        yield f"warning: {text}"


def _sweep(
    probing: Probing, clips: Clips, kind: str, output: epath.Path, shown: bool
) -> Sweep:
    """Probes of all models, of which those that are known are read."""
    asked = probing.protocol_of(kind)
    # On CPU a call has one layer at a time in any case, so models go one by one, and
    # each that is done is kept.
    numbers = range(len(clips.models))
    apart = jax.default_backend() == "cpu"
    together = [[number] for number in numbers] if apart else [list(numbers)]
    layers = {n: clips.layers(n, probing.layers) for n in numbers}
    where = _digest(clips, asked)
    probed: list[Probed] = []
    label, classes = clips.label, clips.manifest.classes
    with LayerBar(kind, sum(map(len, layers.values())), shown=shown) as bar:
        for some in together:
            features = [layer for number in some for layer in layers[number]]
            prints = [clips.models[n].features.fingerprint for n in some]
            names = [(layer.model, layer.layer) for layer in features]
            path = probing_parts.named(output, kind, digest_of([where, prints, names]))
            found = probing_parts.read(path)
            if found is None:
                found = list(
                    sweep(
                        features,
                        label,
                        classes,
                        clips.folds,
                        asked,
                        memory_mib=probing.memory_mib,
                        on_done=lambda done, _: bar(done),
                    ).probed
                )
                probing_parts.write(path, found)
            bar.add(len(features))
            probed += found
    return Sweep(
        protocol=asked,
        classes=tuple(classes),
        folds=clips.folds,
        label=label,
        probed=tuple(probed),
    )


def _digest(clips: Clips, asked: ProbeProtocol) -> str:
    """Of whatever trained probes depend on besides their features."""
    ids = [call.id for call in clips.manifest.calls]
    rows = [
        [fold.name, *(getattr(fold, s).tolist() for s in fold_rules.SPLITS)]
        for fold in clips.folds
    ]
    about = [ids, rows, clips.label.tolist(), len(clips.manifest.classes)]
    return digest_of([FORMAT, about, dataclasses.asdict(asked)])


def _tell(found: dict[str, Any], output: epath.Path, say) -> None:
    """Says what was found."""
    say("")
    say(found["table"].rstrip())
    say("")
    for line in (*found["legend"], f"UAR of guessing: {100 * found['chance']:.2f} %"):
        say(line)
    for kind, told in found["kinds"].items():
        for line in _odd(told["layers"]):
            say(f"warning: {kind}: {line}")
    say(f"tables, figures and predictions: {output}")


def _odd(layers: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is odd about probes of layers."""
    for name, what in (
        ("constant", "features are the same in all training clips"),
        ("diverged", "probes whose loss was not finite"),
    ):
        own = [layer for layer in layers if layer[name]]
        if own:
            most = max(own, key=lambda layer: layer[name])
            yield (
                f"{len(own):,} layers have {what}: up to {most[name]:,}, of"
                f" {most['model']}, layer {most['layer']}"
            )
