"""The data that sheets run on: given, or simulated once, and what is said of them."""

import contextlib
import csv
import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterator

import numpy as np
from etils import epath

from launch import claims
from launch.reproduction.cells import Source
from launch.reproduction.overrides import overrides
from launch.reproduction.sheets import Simulated
from sigjax.data import formats, splits
from sigjax.data.datasets import builder, capture24
from sigjax.data.labelled import LabelledSet
from sigjax.data.store import Store
from sigjax.data.synthetic.capture24 import write_capture24
from sigjax.data.synthetic.recordings import simulate_recordings
from sigjax.data.wearable.batch import prepare_files
from sigjax.data.wearable.prepare import PRESETS
from sigjax.train.writer import replace_file

__all__ = [
    "Facts",
    "of_bundle",
    "of_set",
    "of_store",
    "overrides",
    "simulate",
    "write_people",
]

# Of the labelled people, where a sheet asks for `{people}`.
_TEST_FRACTION = 0.25
# A store may name its files' folders by the thousand.
_FOLDERS_ASKED = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said of data wherever numbers from them are shown.

    Attributes:
      name: Of the set, or `"store"`.
      path: Where it lies.
      fingerprint: Of its content.
      people: How many.
      hours: Of wear.
      rate_hz: Sampling rate.
      simulated: Whether any of it is simulated.
      more: Further figures, in words.
    """

    name: str
    path: str
    fingerprint: str
    people: int
    hours: float
    rate_hz: float
    simulated: bool
    more: str = ""

    @property
    def source(self) -> Source:
        """Path and fingerprint."""
        return Source(self.path, self.fingerprint)

    def line(self) -> str:
        """All of it in one line."""
        mark = "SIMULATED " if self.simulated else ""
        more = f", {self.more}" if self.more else ""
        return (
            f"{mark}{self.name}, {self.people:,} people, {self.hours:,.1f} h at"
            f" {self.rate_hz:g} Hz{more}, fingerprint {self.fingerprint}, {self.path}"
        )


def of_store(path: str) -> Facts:
    """Opens a prepared store.

    Raises:
      sigjax.data.store.StoreError: There is none.
    """
    store = Store.open(path)
    used = [entry for entry in store.entries if entry.segments]
    samples = sum(s.samples for entry in used for s in entry.segments)
    folders = dict.fromkeys(entry.source.rpartition("/")[0] for entry in used)
    return Facts(
        name="store",
        path=path,
        fingerprint=store.fingerprint,
        people=len({entry.person for entry in used}),
        hours=samples / store.rate_hz / 3600,
        rate_hz=store.rate_hz,
        simulated=any(_marked(f) for f in list(folders)[:_FOLDERS_ASKED]),
        more=f"{len(used):,} recordings",
    )


def _marked(folder: str) -> bool:
    with contextlib.suppress(Exception):  # A bucket that is gone, a moved folder.
        return (epath.Path(folder) / "SIMULATED.txt").exists()
    return False


def of_set(path: str) -> Facts:
    """Opens a labelled set.

    Raises:
      sigjax.data.datasets.builder.DatasetError: There is none.
    """
    dataset = LabelledSet.open(path)
    scheme = dataset.scheme(dataset.default_scheme)
    counts = np.sum(list(dataset.counts(scheme.name).values()), axis=0)
    labelled_h = int(counts[:-1].sum()) * dataset.label_s / 3600
    samples = sum(segment.samples for segment in dataset.segments)
    return Facts(
        name=dataset.name,
        path=path,
        fingerprint=dataset.fingerprint,
        people=len(dataset.people),
        hours=samples / dataset.rate_hz / 3600,
        rate_hz=dataset.rate_hz,
        simulated=dataset.simulated,
        more=f"{labelled_h:,.1f} h labelled in {len(scheme.classes)} classes of"
        f" {scheme.name}",
    )


def of_bundle(path: str) -> Source:
    """A bundle by the content of its files.

    Raises:
      FileNotFoundError: It is none.
    """
    folder = epath.Path(path)
    if not (folder / "bundle.json").exists():
        raise FileNotFoundError(
            f"{path} is no bundle (bundle.json is missing): make one with"
            " `python -m launch.convert`"
        )
    digest = hashlib.sha256()
    for file in sorted(_files(folder)):
        digest.update(f"{file.relative_to(folder)}\n".encode())
        digest.update(file.read_bytes())
    return Source(path, digest.hexdigest()[:16])


def _files(folder: epath.Path) -> Iterator[epath.Path]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def simulate(
    workdir: epath.Path, wanted: Simulated, say: Callable[[str], None]
) -> tuple[str, str]:
    """Writes simulated recordings and prepares them as real ones, once per folder.

    Returns:
      Folders of the store and of the labelled set.
    """
    folder = workdir / "data"
    with claims.claim(workdir / "claims", "data", wait=True):
        say(
            f"SIMULATED data in {folder}: {wanted.people} wrist recordings of"
            f" {wanted.days:g} days, and {wanted.labelled_people} labelled ones of"
            f" {wanted.labelled_hours:g} h"
        )
        return _store(folder, wanted), _set(folder, wanted)


def _store(folder: epath.Path, wanted: Simulated) -> str:
    raw, store = folder / "unlabelled_raw", folder / "unlabelled"
    simulate_recordings(raw, people=wanted.people, days=wanted.days, seed=0)
    paths, skipped = formats.find_recordings(str(raw))
    preset = dataclasses.replace(
        PRESETS["paper"],
        min_wear_h=wanted.crop_h,
        # Less than a day holds too few postures to calibrate on.
        on_calibration_failure="drop" if wanted.days >= 1 else "keep",
    )
    prepare_files(paths, store, preset, root=str(raw), skipped=skipped)
    return str(store)


def _set(folder: epath.Path, wanted: Simulated) -> str:
    raw = folder / "labelled_raw"
    # Another seed than the unlabelled people's: nobody is in both.
    write_capture24(
        raw, people=wanted.labelled_people, hours=wanted.labelled_hours, seed=1
    )
    base = capture24.settings(str(raw), record_s=wanted.record_s)
    hours = min(base.prepare.min_wear_h, wanted.labelled_hours / 2)
    prepare = dataclasses.replace(base.prepare, min_wear_h=hours)
    settings = dataclasses.replace(base, prepare=prepare)
    built, _ = builder.build(capture24.Capture24, settings, folder / "labelled")
    return str(built)


def write_people(workdir: epath.Path, facts: Facts) -> str:
    """Divides a set's people into `train` and `validation`, in a file to look at.

    Returns:
      Its path; for `data.split`, where a sheet says `{people}`. "" for one person.
    """
    path = workdir / "data" / f"people-{facts.fingerprint}.csv"
    people = LabelledSet.open(facts.path).people
    if len(people) < 2:
        return ""
    test = splits.held_out(people, fraction=_TEST_FRACTION, seed=0)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["person", "side"])
    for person in people:
        rows.writerow([person, "validation" if person in test else "train"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with claims.claim(workdir / "claims", path.name, wait=True):
        replace_file(path, text.getvalue().encode())
    return str(path)
