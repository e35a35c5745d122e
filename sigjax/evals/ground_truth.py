"""Ground truth of DCASE Task 2 as submissions are scored with: by section and name.

What the organisers published is read by `data.machine_sound.truth`; a manifest of
labelled clips serves as well, for development sets and sounds of one's own.
"""

import collections
import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from etils import epath

from sigjax.data.machine_sound import clips as manifests
from sigjax.data.machine_sound import names, truth
from sigjax.evals import dcase_years

Section = tuple[str, str]  # Machine and section.
WRONG_LIST = "eval_data_list_2022.csv"


class GroundTruthError(ValueError):
    """There is no ground truth to score with; says where and what to give."""


class Known(NamedTuple):
    """Truth of a clip.

    Attributes:
      label: 0 or 1.
      domain: `"source"`, `"target"` or `""`.
    """

    label: int
    domain: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """Ground truth of a year.

    Attributes:
      year: Or None where neither folders nor machines tell.
      clips: By section, then by the stem of the published name.
      renamed: By section: stems of names that tell the truth, to published ones.
    """

    year: int | None
    clips: Mapping[Section, Mapping[str, Known]]
    renamed: Mapping[Section, Mapping[str, str]]


def read_truth(path: epath.PathLike, year: int | None = None) -> Truth:
    """Reads ground truth that the organisers published, or a manifest with labels.

    Args:
      path: Folder of an evaluator (with `ground_truth_data` and, since 2022,
        `ground_truth_domain`), `eval_data_list_YYYY.csv`, a folder with either, or a
        CSV that `data.machine_sound.clips.Manifest.write` wrote.
      year: To choose one of several, or where nothing tells.

    Raises:
      GroundTruthError: There is none, it is of another year or of several, or it is
        2022's list, which is wrong.
    """
    path = epath.Path(path).expanduser()
    if path.name == WRONG_LIST:
        raise GroundTruthError(_wrong_list(path))
    if path.is_file() and "path" in path.read_text().partition("\n")[0].split(","):
        return _of_manifest(path, year)
    try:
        read = truth.read_truth([], [path])
    except (truth.TruthError, FileNotFoundError) as error:
        raise GroundTruthError(str(error)) from error
    years = sorted({key[0] for key in read.entries})
    if len(years) > 1 and year not in years:
        raise GroundTruthError(f"{path}: has the truth of {years}; say which year")
    if year and years and years[0] and year not in years:
        raise GroundTruthError(f"{path}: is the truth of {years[0]}, not of {year}")
    chosen = year if len(years) > 1 else None
    found = _sections(path, read, chosen)
    # Rows of wrong lists are not read; only an evaluator's own labels replace them.
    wrong = {(row.split(",")[0], row.split("_")[1]) for row in read.wrong_lists}
    if wrong - found.clips.keys():
        raise GroundTruthError(_wrong_list(path))
    if not found.clips:
        raise GroundTruthError(f"{path}: no ground truth here")
    told = year or (years[0] if len(years) == 1 else 0) or _guess(found.clips)
    return dataclasses.replace(found, year=told)


def _sections(path: epath.Path, read: truth.Truth, chosen: int | None) -> Truth:
    clips: dict[Section, dict[str, Known]] = collections.defaultdict(dict)
    renamed: dict[Section, dict[str, str]] = collections.defaultdict(dict)
    for (of, machine, key), entry in read.entries.items():
        if chosen not in (None, of):
            continue
        section, domain, number = key
        said = names.parse(entry.true_name) if entry.true_name else None
        kind = "section" if said is None else said.kind
        stem = published(kind, section, domain, number)
        if entry.label == names.UNKNOWN:
            raise GroundTruthError(
                f"{path}: no label of {machine} {stem}; is ground_truth_data there?"
            )
        clips[machine, section][stem] = Known(entry.label, entry.domain or domain)
        if entry.true_name:
            renamed[machine, section][names.stem(entry.true_name)] = stem
    return Truth(year=None, clips=dict(clips), renamed=dict(renamed))


def _of_manifest(path: epath.Path, year: int | None) -> Truth:
    clips: dict[Section, dict[str, Known]] = collections.defaultdict(dict)
    manifest = manifests.read_manifest(path)
    for clip in manifest.clips:
        if clip.side == "test" and clip.label != names.UNKNOWN:
            of_section = clips[clip.machine, clip.section]
            stem = names.stem(clip.path)
            if stem in of_section:
                raise GroundTruthError(
                    f"{path}: two clips of {clip.machine} section {clip.section} are"
                    f" called {stem}: names must tell them apart"
                )
            of_section[stem] = Known(clip.label, clip.domain)
    if not clips:
        raise GroundTruthError(f"{path}: no test clip has a label")
    years = {clip.year for clip in manifest.clips}
    told = year or (years.pop() if len(years) == 1 else 0) or _only_year(clips)
    return Truth(year=told, clips=dict(clips), renamed={})


def _only_year(clips: Mapping[Section, Mapping[str, Known]]) -> int | None:
    years = dcase_years.years_of(clips)
    return years[0] if len(years) == 1 else None


def _guess(clips: Mapping[Section, Mapping[str, Known]]) -> int | None:
    stems = [stem for of_section in clips.values() for stem in of_section]
    if all(stem.startswith("id_") for stem in stems):
        return 2020
    # Of the names of hidden clips, those of 2021 alone tell the domain.
    if all("_source_" in stem or "_target_" in stem for stem in stems):
        return 2021
    return _only_year(clips)


def _wrong_list(path: epath.Path) -> str:
    return (
        f"{path}: the baseline's {WRONG_LIST} gives other labels and domains to ToyCar"
        " and ToyTrain than those with which the challenge was scored. Give the folder"
        " of the evaluator of 2022 (github.com/Kota-Dohi/dcase2022_evaluator), with"
        " ground_truth_data and ground_truth_domain"
    )


def published(kind: str, section: str, domain: str, number: int) -> str:
    """Stem of a hidden clip's name; `kind` is `"section"`, or `"id"` for 2020."""
    if kind == "id":
        return f"id_{section}_{number:08d}"
    return f"section_{section}_{domain + '_test_' if domain else ''}{number:04d}"
