"""The sets of calls that tables run on: given, or simulated once."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from etils import epath

from launch import claims
from launch.reproduction.calls import simulated
from launch.reproduction.calls.cells import GivenSet
from launch.reproduction.calls.sheets import FULL_NAMES, Scale
from launch.reproduction.cells import Source
from sigjax.config import ConfigError
from sigjax.data.calls import layouts
from sigjax.data.calls.manifest import CallManifest, read_calls
from sigjax.data.synthetic.marked import MARKER
from sigjax.evals.layer_features import digest_of

_MANIFESTS = (".csv", ".jsonl")
# Folders above a file that are looked at for the mark of a simulation.
_ABOVE = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said of a set wherever numbers from it are shown.

    Attributes:
      dataset: In whose place it stands, or a name of one's own.
      path: Its manifest.
      sound: Fingerprint of the stretches that it names.
      labels: Fingerprint of what it says of them.
      calls: How many.
      classes: How many occur.
      files: How many.
      groups: Callers or recordings; 0 where none are known.
      simulated: Whether they are simulated.
    """

    dataset: str
    path: str
    sound: str
    labels: str
    calls: int
    classes: int
    files: int
    groups: int
    simulated: bool

    @property
    def given(self) -> GivenSet:
        """As plans take it."""
        return GivenSet(source=Source(self.path, self.sound), labels=self.labels)

    def line(self) -> str:
        """All of it in one line."""
        place = FULL_NAMES.get(self.dataset)
        groups = f" of {self.groups:,} callers or recordings" if self.groups else ""
        unknown = "" if self.groups else "; callers and recordings are not known"
        return (
            f"{f'in place of {place}: ' if place else f'{self.dataset}: '}"
            f"{'SIMULATED calls, of no animal: ' if self.simulated else ''}"
            f"{self.calls:,} calls of {self.classes} classes{groups}, {self.files:,}"
            f" files, fingerprint {self.sound}, {self.path}{unknown}"
        )


def of_set(dataset: str, path: str, workdir: epath.Path) -> Facts:
    """Opens a set: a manifest, or a folder in a published layout.

    A folder's manifest is written to `WORKDIR/data`.

    Raises:
      sigjax.data.clips.ManifestError: The calls cannot be listed.
      FileNotFoundError: There is nothing.
      ConfigError: They have no labels.
    """
    place = epath.Path(path).expanduser().resolve()
    if place.suffix not in _MANIFESTS:
        layout = dataset if dataset in FULL_NAMES else "auto"
        manifest, _ = layouts.scan(place, layout)
        place = workdir / "data" / f"{dataset}.csv"
        # Others may read it meanwhile: it is whole at any time.
        manifest.write(place)
    manifest = read_calls(place)
    labels = {call.label for call in manifest.calls} - {""}
    if len(labels) < 2:
        raise ConfigError(
            f"--{dataset}={path}: {len(labels)} classes: probes tell at least two"
            " apart; fill the manifest's column 'label'"
        )
    return Facts(
        dataset=dataset,
        path=str(place),
        sound=_of_sound(manifest),
        labels=digest_of(
            [
                list(manifest.classes),
                [[c.id, c.label, c.split, c.group] for c in manifest.calls],
            ]
        ),
        calls=len(manifest.calls),
        classes=len(labels),
        files=len({call.path for call in manifest.calls}),
        groups=len({call.group for call in manifest.calls} - {""}),
        simulated=_simulated(pathlib.Path(manifest.root, manifest.calls[0].path)),
    )


def _of_sound(manifest: CallManifest) -> str:
    """Of stretches and sizes of their files: a set may move, with other times."""
    root = pathlib.Path(manifest.root)
    paths = sorted({call.path for call in manifest.calls})
    sizes = []
    for path in paths:
        file = root / path
        sizes.append(file.stat().st_size if file.exists() else -1)
    names = {path: number for number, path in enumerate(paths)}
    stretches = [[c.id, names[c.path], c.start_s, c.end_s] for c in manifest.calls]
    return digest_of([sizes, stretches])


def _simulated(file: pathlib.Path) -> bool:
    return any((p / MARKER).exists() for p in file.resolve().parents[:_ABOVE])


def simulate(
    workdir: epath.Path, scale: Scale, dataset: str, say: Callable[[str], None]
) -> str:
    """Writes simulated calls in a set's published layout, once per folder.

    Returns:
      The set's folder.
    """
    wanted = (scale.simulated or {})[dataset]
    folder = workdir / "data" / f"{dataset}-{scale.key}"
    with claims.claim(workdir / "claims", f"data-{dataset}-{scale.key}", wait=True):
        say(
            f"SIMULATED calls in {folder}: {wanted.calls} of each of {wanted.classes}"
            f" classes by {wanted.animals} animals, in place of {FULL_NAMES[dataset]}"
        )
        simulated.write(folder, dataset, wanted)
    return str(folder)


def opened(
    paths: Mapping[str, str],
    workdir: epath.Path,
    scale: Scale,
    say: Callable[[str], None],
) -> list[Facts]:
    """The sets of a command: those given, and without any the scale's simulated ones.

    Raises:
      ConfigError: None is given, and the scale simulates none.
    """
    if not paths and not scale.simulated:
        raise ConfigError(
            f"--scale={scale.key} needs calls: --marmosets=, --watkins= or"
            " --mescalina=, each the set's folder or a manifest of launch.build_calls,"
            " or --calls=NAME=MANIFEST; without data, try --scale=small"
        )
    found = dict(paths)
    for dataset in () if paths else scale.simulated or ():
        found[dataset] = simulate(workdir, scale, dataset, say)
    facts = []
    for dataset, path in found.items():
        with claims.claim(workdir / "claims", f"manifest-{dataset}", wait=True):
            facts.append(of_set(dataset, path, workdir))
    return facts
