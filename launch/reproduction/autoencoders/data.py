"""What experiments run on: given, simulated once, or always there."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from etils import epath

from launch import claims
from launch.reproduction.autoencoders import simulated
from launch.reproduction.autoencoders.cells import GivenData
from launch.reproduction.autoencoders.sheets import DATA, Scale
from launch.reproduction.calls.data import of_set
from launch.reproduction.cells import Source
from sigjax.config import ConfigError
from sigjax.data import audio, splits
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.calls.manifest import Call, CallManifest, read_calls
from sigjax.data.labelled import LabelledSet

# Of people, speakers or recordings.
_HELD_OUT = 1 / 3
# Names of conditions in which a machine is as it should be.
_NORMAL = ("healthy", "normal", "ok", "good")
_STRETCH_S = 1.0
_ALWAYS = {
    "digits": "scikit-learn's 1,797 digits of 8 x 8, a fifth of the images held out",
    "ring": "SIMULATED points, as the question asks: a ring of 8 Gaussians",
    "curve": "SIMULATED points, as the question asks: a spiral with noise",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Data of one kind, and what is said of them wherever numbers are shown.

    Attributes:
      name: Of `DATA`.
      fingerprint: Of their content.
      where: Overrides that say where they lie: no part of what they are.
      overrides: What decides the examples, and who is held out.
      simulated: Whether they are.
      text: A line for headers.
    """

    name: str
    fingerprint: str
    where: Mapping[str, Any]
    overrides: Mapping[str, Any]
    simulated: bool
    text: str

    @property
    def given(self) -> GivenData:
        """As plans take them."""
        source = Source(str(next(iter(self.where.values()), "")), self.fingerprint)
        return GivenData(source, {}, self.overrides)

    def line(self) -> str:
        """All of it in one line."""
        mark = "SIMULATED " if self.simulated else ""
        return f"{self.name}: {mark}{self.text}, fingerprint {self.fingerprint}"


def opened(
    name: str,
    path: str,
    workdir: epath.Path,
    scale: Scale,
    say: Callable[[str], None],
) -> Facts:
    """Opens data, or simulates them.

    Args:
      name: Of `DATA`.
      path: What its flag gives; `""` for nothing.
      workdir: Simulated data, and tables of folders, lie below it.
      scale: How many are simulated.
      say: Takes lines about progress.

    Raises:
      ConfigError: They cannot be divided, or none are given and none simulated.
    """
    if name in _ALWAYS:
        return Facts(
            name=name,
            fingerprint=name,
            where={},
            overrides={},
            simulated=False,
            text=_ALWAYS[name],
        )
    if path:
        with claims.claim(workdir / "claims", f"data-{name}", wait=True):
            return _OPEN[name](path, workdir)
    if not scale.simulated:
        raise ConfigError(
            f"--scale={scale.key} needs --{DATA[name]}=PATH; without data, try"
            " --scale=smoke"
        )
    if name == "events":
        return _no_events()
    with claims.claim(workdir / "claims", f"data-{name}-{scale.key}", wait=True):
        folder = workdir / "data"
        say(f"SIMULATED {name} in {folder}: {scale.simulated} examples")
        path, text = simulated.write(folder, name, scale.simulated)
    groups = simulated.held_out(name)
    return Facts(
        name=name,
        fingerprint=f"simulated-{name}-{scale.simulated}-{simulated.FORMAT}",
        where={"data.path": path},
        overrides={"data.source": "arrays", **_held(groups)},
        simulated=True,
        text=text,
    )


def _held(groups: Iterable[str]) -> dict[str, Any]:
    return {
        "data.held_out": 0.0,
        "data.held_out_splits": (),
        "data.held_out_groups": tuple(groups),
    }


def _chosen(groups: Iterable[str], flag: str) -> list[str]:
    """A third of people or sources, by a hash of their names."""
    names = splits.ranked(set(groups) - {""}, seed=0)
    if len(names) < 2:
        raise ConfigError(
            f"{flag}: {len(names)} people, speakers or recordings: two at least are"
            " needed, to hold one out"
        )
    return sorted(names[: max(1, round(_HELD_OUT * len(names)))])


def _short(path: str) -> str:
    """Its last two parts, as a name."""
    return "/".join(pathlib.PurePath(path).parts[-2:])


def _told(held: list[str], every: int) -> str:
    shown = ", ".join(held[:8]) + (" and others" if len(held) > 8 else "")
    return f"held out: {shown} ({len(held)} of {every})"


def of_calls(path: str, workdir: epath.Path) -> Facts:
    """Sounds of a folder or table; speakers, callers or recordings are held out."""
    found = of_set("fsdd", path, workdir)
    calls = read_calls(found.path).calls
    sources = {call.source for call in calls}
    held = _chosen(sources, f"--fsdd={path}")
    return Facts(
        name="sounds",
        fingerprint=f"{found.sound}-{found.labels}",
        where={"data.path": found.path},
        overrides={"data.source": "clips", **_held(held)},
        simulated=found.simulated,
        text=f"{found.calls:,} clips of {found.classes} classes, {_short(path)};"
        f" {_told(held, len(sources))}",
    )


def of_wrist(path: str, workdir: epath.Path) -> Facts:
    """Windows of a labelled set; people are held out."""
    del workdir
    found = LabelledSet.open(path)
    held = _chosen(found.people, f"--har={path}")
    return Facts(
        name="wrist",
        fingerprint=found.fingerprint,
        where={"data.path": path},
        overrides={"data.source": "windows", **_held(held)},
        simulated=found.simulated,
        text=f"{_short(path)}, {len(found.people)} people, {found.rate_hz:g} Hz;"
        f" {_told(held, len(found.people))}",
    )


def of_machines(path: str, workdir: epath.Path) -> Facts:
    """A folder CONDITION/MACHINE/*.wav, in stretches of a second.

    Of machines that are there in another condition too; a third of the normal
    recordings is held out, with all others.
    """
    manifest = machines(path)
    place = workdir / "data" / "machines.csv"
    manifest.write(place)
    (normal,) = [c for c in manifest.classes if c.lower() in _NORMAL]
    sources = {c.group for c in manifest.calls if c.label == normal}
    others = {c.group for c in manifest.calls} - sources
    held = _chosen(sources, f"--motors={path}")
    told = hashlib.sha256(repr(manifest.calls).encode()).hexdigest()[:16]
    kinds = ", ".join(c for c in manifest.classes if c != normal)
    return Facts(
        name="machines",
        fingerprint=told,
        where={"data.path": str(place)},
        overrides={
            "data.source": "clips",
            "data.trained_classes": (normal,),
            **_held(sorted({*held, *others})),
        },
        simulated=False,
        text=f"{_short(path)}, {len(manifest.calls)} stretches of {_STRETCH_S:g} s:"
        f" trained on {len(sources) - len(held)} recordings of {normal}, held out"
        f" {len(held)} of {normal} and {len(others)} of {kinds}",
    )


def machines(path: str) -> CallManifest:
    """The stretches of `of_machines`, of those machines that can be compared.

    Raises:
      ConfigError: There is no normal condition, or no other of the same machine.
    """
    root = pathlib.Path(path).expanduser().resolve()
    files = sorted(p for p in root.glob("*/*/*") if p.suffix.lower() == ".wav")
    names = sorted({p.parts[-3] for p in files})
    normal = [name for name in names if name.lower() in _NORMAL]
    if len(normal) != 1:
        raise ConfigError(
            f"--motors={path}: of CONDITION/MACHINE/*.wav one condition must be called"
            f" {' or '.join(_NORMAL)}; there are {', '.join(names) or 'none'}"
        )
    conditions = {p.parts[-2]: set() for p in files}
    for file in files:
        conditions[file.parts[-2]].add(file.parts[-3])
    both = {m for m, own in conditions.items() if normal[0] in own and len(own) > 1}
    calls = []
    for file in files:
        if file.parts[-2] not in both:
            continue
        header = audio.probe(epath.Path(file))
        group = "/".join((*file.parts[-3:-1], file.stem))
        for second in range(int(header.duration_s / _STRETCH_S)):
            calls.append(
                Call(
                    id=f"{group}@{second}",
                    path=file.relative_to(root).as_posix(),
                    label=file.parts[-3],
                    group=group,
                    start_s=second * _STRETCH_S,
                    end_s=(second + 1) * _STRETCH_S,
                )
            )
    if not calls:
        raise ConfigError(
            f"--motors={path}: no machine is there both as {normal[0]} and otherwise"
        )
    classes = tuple(sorted({call.label for call in calls}))
    return CallManifest(root=epath.Path(root), calls=tuple(calls), classes=classes)


def of_events(path: str, workdir: epath.Path) -> Facts:
    """A set of audio events whose clips are mixed; a fold or split is held out."""
    del workdir
    found = EventSet.open(path)
    folds = list(found.folds)
    fold = {"data.test_fold": folds[0]} if len(folds) > 1 else {}
    held = f"fold {folds[0]}" if fold else "the split test"
    return Facts(
        name="events",
        fingerprint=found.fingerprint,
        where={"data.dataset": path},
        overrides={"data.simulate": None, **fold},
        simulated=found.simulated,
        text=f"mixtures of {found.name}, {len(found):,} clips; {held} is reported",
    )


def _no_events() -> Facts:
    return Facts(
        name="events",
        fingerprint="simulated-events",
        where={},
        overrides={
            "data.test_fold": 1,
            "data.simulate": dict(
                layout="esc50", clips=10, classes=4, clip_s=1.5, seed=0
            ),
        },
        simulated=True,
        text="mixtures of simulated events",
    )


_OPEN: Mapping[str, Callable[[str, epath.Path], Facts]] = {
    "sounds": of_calls,
    "wrist": of_wrist,
    "machines": of_machines,
    "events": of_events,
}
