"""Simulates sets of audio events as they are published, and recordings to search.

    esc50           meta/esc50.csv, audio/FOLD-SOURCE-TAKE-TARGET.wav
    audioset        *_segments.csv, class_labels_indices.csv, SPLIT/ID.wav
    epic_kitchens   EPIC_100_*.csv, a long sound for each video

Beside the tables of the layout, `events.csv` tells when which class sounds in which
file, and SIMULATED.txt that no sound is real.
"""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
from etils import epath

from sigjax.data.audio_events.events import Event, write_events
from sigjax.data.synthetic import event_sounds as sounds
from sigjax.data.synthetic.machine_plan import generator
from sigjax.data.synthetic.marked import claim, replace, write_wav

LAYOUTS = ("esc50", "audioset", "epic_kitchens")
# Of any layout: a folder that has them holds a set already.
_CONTENTS = (
    "meta",
    "audio",
    "events.csv",
    "class_labels_indices.csv",
    "EPIC_100_train.csv",
)
_SIMULATOR_VERSION = 1  # raise it when equal parameters give other bytes
_FOLDS = 5
_ACTIONS_OF_VIDEO = 8
_NOTE = """These sounds are SIMULATED: nothing made them but arithmetic.

They have the layout of {layout} and none of its sounds. They exercise and test
software. Nothing measured on them says anything about real sounds.

{facts}
simulator version: {version}

events.csv tells when which class sounds in which file.
"""


def write_events_set(
    folder: epath.PathLike,
    *,
    layout: str = "esc50",
    clips: int = 10,
    classes: int = 4,
    clip_s: float = 2.0,
    rate_hz: int = 16000,
    seed: int,
) -> epath.Path:
    """Writes a simulated set; files that are there of the same simulation are kept.

    Args:
      folder: Made if it is not there.
      layout: Of `LAYOUTS`.
      clips: Of each class in `"esc50"`; of each split in the others.
      classes: The first of `event_sounds.SOUNDS`; verbs and nouns are four each.
      clip_s: Length of a clip; every fifth of `"esc50"` is shorter or longer. Actions
        of `"epic_kitchens"` take from a third of it to all.
      rate_hz: Sampling rate.
      seed: Of everything.

    Returns:
      The folder.

    Raises:
      ValueError: A number makes no sense.
      FileExistsError: Sounds are there that are not of this simulation.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r} is none of {', '.join(LAYOUTS)}")
    if clips < 1 or not 2 <= classes <= len(sounds.SOUNDS):
        raise ValueError(
            f"needs a clip or more of 2 to {len(sounds.SOUNDS)} classes, got {clips}"
            f" clips of {classes}"
        )
    if not 0.3 <= clip_s < float("inf") or rate_hz < 16000:
        raise ValueError(
            f"clip_s must be 0.3 or more and rate_hz 16000 or more, got {clip_s} and"
            f" {rate_hz}"
        )
    folder = epath.Path(folder)
    given = {"clips": clips, "classes": classes, "clip_s": clip_s}
    facts = {**given, "rate_hz": rate_hz, "seed": seed}
    note = _note(layout, facts)
    claim(folder, note, _CONTENTS)
    write = {"esc50": _esc50, "audioset": _audioset, "epic_kitchens": _epic_kitchens}
    maker = _Maker(folder, rate_hz, seed)
    write[layout](maker, clips, tuple(sounds.SOUNDS)[:classes], clip_s)
    write_events(folder / "events.csv", maker.events)
    return folder


def write_event_recordings(
    folder: epath.PathLike,
    *,
    recordings: int = 1,
    classes: int = 4,
    duration_s: float = 60.0,
    rate_hz: int = 16000,
    seed: int,
) -> epath.Path:
    """Writes long recordings in which events of some classes come and go.

    Args:
      folder: Made if it is not there; gets `recording_00.wav`... and `events.csv`.
      recordings: How many.
      classes: The first of `event_sounds.SOUNDS`.
      duration_s: Length of each.
      rate_hz: Sampling rate.
      seed: Of everything; with the seed of a set its sources are other ones.

    Returns:
      The folder.

    Raises:
      FileExistsError: Sounds are there that are not of this simulation.
    """
    folder = epath.Path(folder)
    facts = {
        "recordings": recordings,
        "classes": classes,
        "duration_s": duration_s,
        "rate_hz": rate_hz,
        "seed": seed,
    }
    claim(folder, _note("recordings", facts), ("events.csv", "recording_00.wav"))
    maker = _Maker(folder, rate_hz, seed)
    names = tuple(sounds.SOUNDS)[:classes]
    for number in range(recordings):
        rng = generator(seed, "recording", number)
        placed, at_s = [], rng.uniform(1, 4)
        while at_s < duration_s - 2:
            length_s = min(rng.uniform(1, 5), duration_s - at_s)
            take = sounds.Take(
                seed=seed,
                source=10_000 + int(rng.integers(1000)),
                take=len(placed),
                rate_hz=rate_hz,
                duration_s=length_s,
            )
            label = str(rng.choice(names))
            placed.append((label, at_s, take.sound(label)))
            # Some overlap the one before.
            at_s += length_s + rng.uniform(-1, 5)
        maker.write(f"recording_{number:02d}.wav", rng, duration_s, placed)
    write_events(folder / "events.csv", maker.events)
    return folder


class _Maker:
    """Writes clips and keeps when what sounds in them."""

    def __init__(self, folder: epath.Path, rate_hz: int, seed: int):
        self.folder, self.rate_hz, self.seed = folder, rate_hz, seed
        self.events: list[Event] = []

    def take(self, source: int, take: int, duration_s: float) -> sounds.Take:
        return sounds.Take(
            seed=self.seed,
            source=source,
            take=take,
            rate_hz=self.rate_hz,
            duration_s=duration_s,
        )

    def write(
        self,
        path: str,
        rng: np.random.Generator,
        duration_s: float,
        placed: Iterable[tuple[str, float, np.ndarray]],
    ) -> None:
        """Mixes sounds `(label, start_s, wave)` over the noise of a room."""
        samples = round(duration_s * self.rate_hz)
        level, snr_db = 10 ** (rng.uniform(-30, -18) / 20), rng.uniform(5, 25)
        placed = list(placed)
        for label, start_s, wave in placed:
            end_s = min(duration_s, start_s + len(wave) / self.rate_hz)
            self.events.append(Event(path, start_s, end_s, label))
        if (self.folder / path).exists():
            return
        mixed = sounds.background(rng, samples, self.rate_hz) * 10 ** (-snr_db / 20)
        for _, start_s, wave in placed:
            first = round(start_s * self.rate_hz)
            own = wave[: samples - first]
            mixed[first : first + len(own)] += own * 10 ** (rng.uniform(-6, 0) / 20)
        mixed *= min(level, 0.98 / float(np.abs(mixed).max()))
        counts = np.rint(mixed * 32767).astype(np.int16)
        write_wav(self.folder / path, counts, self.rate_hz)

    def table(
        self, path: str, rows: Sequence[Sequence[object]], head: str = ""
    ) -> None:
        """Writes a CSV, after lines that are given."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        replace(self.folder / path, (head + text.getvalue()).encode())


def _esc50(maker: _Maker, clips: int, names: tuple[str, ...], clip_s: float) -> None:
    head = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    rows: list[Sequence[object]] = [head]
    for target, label in enumerate(names):
        for number in range(clips):
            # Two takes of each source, in one fold.
            source, take = 100 + number // 2, number % 2
            upload = 1000 * (target + 1) + source
            fold = 1 + (number // 2) % _FOLDS
            letter = "AB"[take]
            name = f"{fold}-{upload}-{letter}-{target}.wav"
            rng = generator(maker.seed, "clip", target, number)
            odd = number % 5 == 4
            length_s = clip_s * (rng.choice((0.6, 1.4)) if odd else 1.0)
            sound_s = max(0.25, length_s * rng.uniform(0.5, 0.9))
            start_s = rng.uniform(0, length_s - sound_s)
            wave = maker.take(source, take, sound_s).sound(label)
            maker.write(f"audio/{name}", rng, length_s, [(label, start_s, wave)])
            category = label.replace(" ", "_")
            rows.append((name, fold, target, category, "True", upload, letter))
    maker.table("meta/esc50.csv", rows)


def _audioset(maker: _Maker, clips: int, names: tuple[str, ...], clip_s: float) -> None:
    mids = {label: f"/m/sim{number:02d}" for number, label in enumerate(names)}
    index = [(number, mids[label], label) for number, label in enumerate(names)]
    maker.table("class_labels_indices.csv", [("index", "mid", "display_name"), *index])
    for split in ("balanced_train", "eval"):
        rows = []
        for number in range(clips):
            rng = generator(maker.seed, split, number)
            # The first clips make sure that every class is there.
            count = 1 + int(rng.integers(min(3, len(names))))
            chosen = {names[number % len(names)], *rng.choice(names, count - 1)}
            video = f"sim{'t' if split == 'eval' else 'b'}{number:07d}"
            placed = []
            for label in sorted(chosen):
                sound_s = max(0.25, clip_s * rng.uniform(0.3, 0.8))
                take = maker.take(int(rng.integers(1_000_000)), number, sound_s)
                start_s = rng.uniform(0, clip_s - sound_s)
                placed.append((label, start_s, take.sound(label)))
            maker.write(f"{split}_segments/{video}.wav", rng, clip_s, placed)
            labels = ",".join(mids[label] for label in sorted(chosen))
            rows.append(f'{video}, 30.000, {30 + clip_s:.3f}, "{labels}"')
        head = (
            "# Segments csv of simulated sounds\n"
            f"# num_ytids={clips}, num_segs={clips}\n"
            "# YTID, start_seconds, end_seconds, positive_labels\n"
        )
        text = head + "".join(f"{row}\n" for row in rows)
        replace(maker.folder / f"{split}_segments.csv", text.encode())


def _epic_kitchens(
    maker: _Maker, clips: int, names: tuple[str, ...], clip_s: float
) -> None:
    del names
    nouns = tuple(sounds.NOUNS)
    for head, keys in (("verb", sounds.VERBS), ("noun", nouns)):
        rows = [
            (number, key, f"['{key}']", "simulated") for number, key in enumerate(keys)
        ]
        maker.table(
            f"EPIC_100_{head}_classes.csv",
            [("id", "key", "instances", "category"), *rows],
        )
    columns = (
        "narration_id", "participant_id", "video_id", "start_timestamp",
        "stop_timestamp", "narration", "verb", "verb_class", "noun", "noun_class",
    )  # fmt: skip
    for person, split in enumerate(("train", "validation"), 1):
        rows: list[Sequence[object]] = [columns]
        for video in range(-(-clips // _ACTIONS_OF_VIDEO)):
            name = f"P{person:02d}_{video + 1:02d}"
            rng = generator(maker.seed, split, video)
            placed, at_s = [], rng.uniform(0.2, 1)
            first = video * _ACTIONS_OF_VIDEO
            for number in range(first, min(clips, first + _ACTIONS_OF_VIDEO)):
                verb = number % len(sounds.VERBS)
                noun = (number // len(sounds.VERBS) + number) % len(nouns)
                length_s = max(0.25, clip_s * rng.uniform(1 / 3, 1))
                take = maker.take(1000 * person + video, number, length_s)
                word = sounds.VERBS[verb], nouns[noun]
                placed.append((" ".join(word), at_s, take.action(*word)))
                rows.append(
                    (
                        f"{name}_{number - first}", f"P{person:02d}", name,
                        _timestamp(at_s), _timestamp(at_s + length_s), " ".join(word),
                        word[0], verb, word[1], noun,
                    )
                )  # fmt: skip
                at_s += length_s + rng.uniform(0.1, 0.6)
            maker.write(f"P{person:02d}/{name}.wav", rng, at_s + 0.5, placed)
        maker.table(f"EPIC_100_{split}.csv", rows)


def _timestamp(seconds: float) -> str:
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _note(layout: str, facts: dict[str, object]) -> str:
    told = "\n".join(f"{name}: {value}" for name, value in facts.items())
    return _NOTE.format(layout=layout, facts=told, version=_SIMULATOR_VERSION)
