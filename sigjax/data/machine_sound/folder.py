r"""Any folder of audio files as clips: by a manifest, or by its folders' names.

    recordings/healthy/M1/1400.wav      normal
    recordings/fault/M1/1400.wav        an anomaly

A manifest is a CSV of which only the column `path` is required:

    path,machine,section,side,label,rpm
    healthy/M1/1400.wav,motor,M1,train,normal,1400
"""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from etils import epath

from sigjax.data import audio
from sigjax.data.audio_files import audio_files
from sigjax.data.machine_sound.clips import (
    COLUMNS,
    Clip,
    LeftOut,
    Manifest,
    ManifestError,
    Report,
    clip_of,
    label_in,
    label_of,
    read_rows,
)
from sigjax.data.machine_sound.names import ANOMALY, NORMAL, UNKNOWN

_SIDES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "evaluation"), "test"),
}
_GROUPS = ("machine", "section", "side", "domain", "condition")


def folder_manifest(
    folder: epath.PathLike,
    csv: epath.PathLike | None = None,
    *,
    machine: str = "",
    pattern: str = "",
    normal: Sequence[str] = (),
    anomaly: Sequence[str] = (),
    test_fraction: float = 0.0,
    cut_s: float | None = None,
) -> tuple[Manifest, Report]:
    r"""Lists the audio files of a folder.

    Without a manifest a folder called `normal`, `healthy`, `good`, `anomaly`, `fault`,
    `faulty`, `abnormal`, `broken` or `bad` gives the label of what is below it, and one
    called `train` or `test` its side. Otherwise anomalies are to be tested on, and all
    else is to be trained on.

    Args:
      folder: Looked through with all folders in it.
      csv: Manifest; its paths are relative to `folder`. Columns that are not known are
        kept as attributes.
      machine: Of all clips whose row or path says none; by default the folder's name.
      pattern: Regular expression, searched in each path without a manifest. Its groups
        `machine`, `section`, `side`, `domain` and `condition` (a word as above) say
        what they are called, other groups are attributes:
        `(?P<condition>\w+)/(?P<section>M\d)/(?P<rpm>\d+)`.
      normal: More words for normal, such as a folder's name; in any case.
      anomaly: More words for an anomaly: `("propeller", "bearing")`.
      test_fraction: Share of the clips to train on that is tested on instead, chosen
        by name, so that it stays the same when files are added.
      cut_s: Cut what is longer into stretches of this length, one clip each. The last
        one is as long as what is left.

    Returns:
      Clips by path, and what was left out and why.

    Raises:
      ManifestError: There are no audio files, the manifest or the pattern is wrong, or
        files that the manifest names are not there.
      FileNotFoundError: There is no such folder or manifest.
    """
    root = pathlib.Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction {test_fraction} is not in [0, 1)")
    found, others = audio_files(root)
    counts = {"other files": len(others)}
    left_out: list[LeftOut] = []
    if csv is not None:
        clips, unknown = _listed(root, epath.Path(csv).expanduser(), machine)
        named = {clip.path for clip in clips}
        left_out += [LeftOut(p, "not in the manifest") for p in found if p not in named]
        warnings = [
            f"{csv}: column {name!r} is kept as an attribute" for name in unknown
        ]
    else:
        compiled = _compiled(pattern)
        words = {word.lower(): NORMAL for word in normal}
        words |= {word.lower(): ANOMALY for word in anomaly}
        clips, warnings = [], []
        for path in found:
            try:
                clips.append(_of_path(path, machine or root.name, compiled, words))
            except ManifestError as error:
                left_out.append(LeftOut(path, str(error).split(": ", 1)[-1]))
    if not clips:
        some = "".join(f"; {path}: {reason}" for path, reason in left_out[:3])
        raise ManifestError(
            f"{folder}: no clip in it ({len(found)} audio files: WAV, FLAC, OGG){some}"
        )
    clips = [_divided(clip, test_fraction) for clip in clips]
    if cut_s is not None:
        clips = [piece for clip in clips for piece in _cut(root, clip, cut_s, left_out)]
    assumed = [c.path for c in clips if c.side == "train" and c.label == UNKNOWN]
    if assumed:
        warnings.append(
            f"{len(assumed)} clips to train on are taken for normal, and nothing says"
            f" that they are: {', '.join(assumed[:3])}{', ...' if assumed[3:] else ''}"
        )
    report = Report(
        files=len(found),
        clips=len(clips),
        left_out=tuple(left_out),
        counts=counts,
        warnings=tuple(warnings),
    )
    return Manifest(root=epath.Path(root), clips=tuple(clips)), report


def _listed(
    root: pathlib.Path, csv: epath.Path, machine: str
) -> tuple[list[Clip], list[str]]:
    """Clips of a manifest, and its columns that are not known."""
    clips, unknown, absent = [], {}, []
    for number, row in read_rows(csv, COLUMNS):
        unknown |= dict.fromkeys(name for name in row if name not in COLUMNS)
        try:
            clip = clip_of(row, machine=machine or root.name)
        except ValueError as error:
            raise ManifestError(f"{csv}, row {number}: {error}") from error
        clip = dataclasses.replace(clip, path=os.path.normpath(clip.path))
        # Anomalies without a side are to be tested on, as without a manifest.
        if not row.get("side") and clip.label == ANOMALY:
            clip = dataclasses.replace(clip, side="test")
        if not (root / clip.path).is_file():
            absent.append(f"row {number}: {clip.path}")
        clips.append(clip)
    if absent:
        some = ", ".join(absent[:3]) + (", ..." if absent[3:] else "")
        raise ManifestError(
            f"{csv}: {len(absent)} of {len(clips)} files are not in {root}: {some}."
            " Paths are relative to the folder that is given"
        )
    return clips, list(unknown)


def _compiled(pattern: str) -> re.Pattern[str] | None:
    if not pattern:
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ManifestError(f"pattern={pattern!r}: {error}") from error


def _of_path(
    path: str, machine: str, pattern: re.Pattern[str] | None, words: Mapping[str, int]
) -> Clip:
    """A clip of what its path says."""
    folders = pathlib.PurePosixPath(path).parts[:-1]
    said = [words.get(part.lower(), label_in(part)) for part in folders]
    labels = [label for label in said if label is not None]
    sides = [_SIDES[part.lower()] for part in folders if part.lower() in _SIDES]
    groups: Mapping[str, str | None] = {}
    if pattern is not None:
        match = pattern.search(path)
        if match is None:
            raise ManifestError(f"{path}: the pattern does not match its path")
        groups = match.groupdict()
    given = {name: value for name, value in groups.items() if value}
    label = labels[-1] if labels else UNKNOWN
    if "condition" in given:
        condition = given["condition"]
        known = words.get(condition.lower())
        label = label_of(condition) if known is None else known
    side = given.get("side") or (sides[-1] if sides else "")
    return Clip(
        path=path,
        machine=given.get("machine", machine),
        section=given.get("section", "00"),
        side=side or ("test" if label == ANOMALY else "train"),
        domain=given.get("domain", ""),
        label=label,
        attributes={n: v for n, v in given.items() if n not in _GROUPS},
    )


def _divided(clip: Clip, test_fraction: float) -> Clip:
    if clip.side != "train" or not test_fraction:
        return clip
    digest = hashlib.blake2b(clip.path.encode(), digest_size=8).digest()
    drawn = int.from_bytes(digest, "little") / 2**64
    return dataclasses.replace(clip, side="test") if drawn < test_fraction else clip


def _cut(
    root: pathlib.Path, clip: Clip, cut_s: float, left_out: list[LeftOut]
) -> Iterator[Clip]:
    """A clip's stretches; itself if it is no longer than one."""
    try:
        length_s = audio.probe(root / clip.path).duration_s
    except audio.AudioError as error:
        reason = str(error).removeprefix(f"{root / clip.path}: ")
        left_out.append(LeftOut(clip.path, reason))
        return
    end_s = length_s if clip.end_s is None else min(clip.end_s, length_s)
    if end_s - clip.start_s <= cut_s:
        yield clip
        return
    start_s = clip.start_s
    # What is shorter than a tenth of a stretch goes with the one before it.
    while end_s - start_s > 0.1 * cut_s:
        last = end_s - start_s <= 1.1 * cut_s
        stop_s = end_s if last else start_s + cut_s
        yield dataclasses.replace(clip, start_s=start_s, end_s=stop_s)
        start_s = stop_s
