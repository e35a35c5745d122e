"""Crops of calls without their labels, to train an encoder on."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from sigjax.data import audio
from sigjax.data.audio_events.stream_config import SimulatedEventsConfig
from sigjax.data.calls.manifest import Call, CallManifest, read_calls
from sigjax.data.calls.reading import (
    NORMALISE,
    Normalise,
    ReadingConfig,
    normalised,
    stretch_samples,
    survey,
)
from sigjax.data.clip_stream import samples_of, spec_of
from sigjax.data.clips import ManifestError
from sigjax.data.crops import Batch
from sigjax.data.pipeline import SourceData, steps_per_epoch
from sigjax.data.reader_config import ReaderConfig
from sigjax.data.segments import fitted


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallDataConfig(ReaderConfig):
    """Which calls, and what is cut out of them.

    Attributes:
      manifest: Table of calls (`launch.build_calls`). With `simulate`, and if empty,
        simulated ones.
      batch_size: Crops in a global batch.
      window_s: Length of a crop, seconds; shorter calls are padded.
      shortest_s: Lengths of crops are drawn from it to `window_s`, if it is given.
      splits: Of the manifest, to train on; empty for all.
      without_splits: Those that are not trained on, nor held out.
      without_groups: Likewise callers or recordings: of whom a probe will be tested on.
      validation_splits: Those to watch the loss on.
      validation_fraction: Share of the other calls to watch the loss on, drawn call by
        call: callers and recordings are shared with those trained on.
      normalise: Each crop by itself, as `ReadingConfig` has it: what calls that are not
        longer than a crop will be read with afterwards.
      channel: Of files with several: an index, or `"mean"`.
      rate_hz: All calls are resampled to it.
      seed: Of what is held out, of the order and of the crops.
      simulate: Simulate files first; None for real ones.
    """

    manifest: str
    window_s: float
    shortest_s: float = 0.0
    splits: tuple[str, ...] = ()
    without_splits: tuple[str, ...] = ("test",)
    without_groups: tuple[str, ...] = ()
    validation_splits: tuple[str, ...] = ("validation",)
    validation_fraction: float = 0.0
    normalise: Normalise = "peak"
    channel: int | str = 0
    rate_hz: int = 16000
    simulate: SimulatedEventsConfig | None = None

    def __post_init__(self):
        """Refuses sizes without meaning and words that are none."""
        super().__post_init__()
        least = self.reading.min_samples / self.rate_hz
        if self.window_s < least:
            raise ValueError(
                f"window_s must be at least {least:g}, got {self.window_s}"
            )
        if self.shortest_s and not least <= self.shortest_s <= self.window_s:
            raise ValueError(
                f"shortest_s must be 0, or from {least:g} to window_s={self.window_s},"
                f" got {self.shortest_s}"
            )
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction {self.validation_fraction} is not in [0, 1)"
            )
        if self.simulate is not None and self.simulate.layout != "esc50":
            raise ValueError("simulate.layout must be 'esc50': calls have one label")
        if self.normalise not in NORMALISE:
            raise ValueError(f"normalise must be one of {', '.join(NORMALISE)}")

    @property
    def reading(self) -> ReadingConfig:
        """How calls become waves."""
        return ReadingConfig(
            normalise=self.normalise,
            rate_hz=self.rate_hz,
            channel=audio.checked_channel(self.channel),
        )


class CallCrop(NamedTuple):
    """A plan: which samples of which call to read.

    Attributes:
      row: Index into `CallCrops.calls`.
      start: First sample.
      samples: How many; fewer where the call ends before.
    """

    row: int
    start: int
    samples: int


class CallCrops:
    """Grain random-access source of crops of calls. Pickles.

    Attributes:
      root: What the calls' paths are relative to.
      calls: To be cropped.
      lengths: Int64 `[n]`, samples of each at the rate of the config.
      samples: Longest crop.
      shortest: Shortest one that is drawn.
    """

    def __init__(
        self,
        root: epath.PathLike,
        calls: Sequence[Call],
        lengths: np.ndarray,
        config: CallDataConfig,
    ):
        """Reads nothing yet."""
        self.root, self.calls = epath.Path(root), tuple(calls)
        self.lengths = np.asarray(lengths, np.int64)
        self.samples = samples_of("window_s", config.window_s, config.rate_hz)
        self.shortest = self.samples
        if config.shortest_s:
            self.shortest = samples_of("shortest_s", config.shortest_s, config.rate_hz)
        self._config = config.reading

    def __len__(self) -> int:
        """Calls: an epoch sees one crop of each."""
        return len(self.calls)

    def __getitem__(self, index: int) -> int:
        """The element is its index."""
        return range(len(self.calls))[index]

    def plan(self, row: int, rng: np.random.Generator) -> CallCrop:
        """Draws a length, and a place where it fits in the call."""
        samples = int(rng.integers(self.shortest, self.samples + 1))
        beyond = int(self.lengths[row]) - samples
        start = int(rng.integers(beyond + 1)) if beyond > 0 else 0
        return CallCrop(row, start, samples)

    def fixed_plan(self, row: int, seed: int) -> CallCrop:
        """The middle, whatever the seed."""
        del seed
        start = max(0, int(self.lengths[row]) - self.samples) // 2
        return CallCrop(row, start, self.samples)

    def read(self, crops: Sequence[CallCrop]) -> Batch:
        """Reads crops into a batch.

        Returns:
          wave: Float32 `[b, s]`, each normalised by itself, zeros behind it.
          samples: Int32 `[b]`, how many are real. Calls under two frames are repeated
            to that length, as when features are taken of them.
          row: Int32 `[b]`, the call's index in `calls`.

        Raises:
          ManifestError: A call cannot be read; names it.
        """
        wave = np.zeros((len(crops), self.samples), np.float32)
        samples = np.zeros(len(crops), np.int32)
        for to, crop in enumerate(crops):
            own = self._read(crop)
            wave[to, : len(own)], samples[to] = own, len(own)
        rows = np.array([crop.row for crop in crops], np.int32)
        return {"wave": wave, "samples": samples, "row": rows}

    def _read(self, crop: CallCrop) -> np.ndarray:
        c, call = self._config, self.calls[crop.row]
        count = min(crop.samples, int(self.lengths[crop.row]) - crop.start)
        try:
            wave, _ = audio.read(
                self.root / call.path,
                start_s=call.start_s + crop.start / c.rate_hz,
                duration_s=count / c.rate_hz,
                rate_hz=c.rate_hz,
                channel=c.channel,
            )
        except (audio.AudioError, OSError) as error:
            raise ManifestError(
                f"call {call.id!r} cannot be read: {error}. Leave out what is damaged:"
                " `python -m launch.build_calls --decode` finds it"
            ) from error
        wave = normalised(wave, c.normalise)
        return fitted(wave, 0, max(len(wave), c.min_samples), "tile")


class CallData(SourceData[CallCrops]):
    """Batches of crops of calls; see `CallCrops.read` for what is in them.

    Attributes:
      manifest: All calls.
      config: As given.
      remarks: What of the calls is not used, or changed, in words.
      left_out: How many calls are on no side, by why.
    """

    def __init__(
        self, manifest: CallManifest, config: CallDataConfig, *, simulated: bool = False
    ):
        """Reads the headers of all files, and divides the calls.

        Raises:
          ManifestError: There is no call to train on.
        """
        self.manifest, self.config, self.reader = manifest, config, config
        self.simulated = simulated
        found = survey(manifest.root, manifest.calls, config.reading)
        self.left_out = {"cannot be read": len(found.left_out)}
        _check_names(manifest, "splits", config.splits)
        _check_names(manifest, "without_groups", config.without_groups)
        train, held = self._sides(found.usable)
        lengths = self._lengths(found.samples)

        def source(rows: Sequence[int]) -> CallCrops:
            calls = [manifest.calls[row] for row in rows]
            return CallCrops(manifest.root, calls, lengths[list(rows)], config)

        if not train:
            raise ManifestError(
                f"{manifest.root}: no call to train on: of {len(manifest.calls)},"
                f" {_told(self.left_out)}"
            )
        self.train_source, self.validation_source = source(train), source(held)
        self.remarks = [f"calls to train on: {len(train):,}, held out: {len(held):,}"]
        if any(self.left_out.values()):
            self.remarks.append(f"calls that are not used: {_told(self.left_out)}")
        self.remarks += [f"{len(ids):,} {what}" for what, ids in found.remarks.items()]

    def _sides(self, usable: np.ndarray) -> tuple[list[int], list[int]]:
        """Numbers of the calls that are trained on, and of those held out."""
        c = self.config
        train: list[int] = []
        held: list[int] = []
        reasons = {"in without_splits": 0, "in without_groups": 0, "in no split": 0}
        for row in usable.tolist():
            call = self.manifest.calls[row]
            if call.split in c.without_splits:
                reasons["in without_splits"] += 1
            elif call.group in c.without_groups:
                reasons["in without_groups"] += 1
            elif call.split in c.validation_splits:
                held.append(row)
            elif c.splits and call.split not in c.splits:
                reasons["in no split"] += 1
            else:
                train.append(row)
        self.left_out |= reasons
        count = round(c.validation_fraction * len(train))
        order = np.random.default_rng([c.seed, 2]).permutation(len(train))
        drawn = {train[i] for i in order[:count].tolist()}
        kept = [row for row in train if row not in drawn]
        return kept, sorted([*held, *drawn])

    def _lengths(self, samples: np.ndarray) -> np.ndarray:
        """Samples of each call in its file, where short ones are not yet repeated."""
        least = self.config.reading.min_samples
        lengths = samples.copy()
        root = epath.Path(self.manifest.root)
        for row in np.flatnonzero(samples == least).tolist():
            call = self.manifest.calls[row]
            info = audio.probe(root / call.path)
            lengths[row] = stretch_samples(call, info, self.config.rate_hz)
        return lengths

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every call was seen, or could have been."""
        return steps_per_epoch(self.train_source, self.config.batch_size)

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        return call_spec(self.config)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        c = self.config
        sides = {"train": self.train_source, "validation": self.validation_source}
        return {
            **{f"{k}_calls": _digest(s) for k, s in sides.items() if s is not None},
            "window_s": c.window_s,
            "shortest_s": c.shortest_s,
            "normalise": c.normalise,
            "channel": c.channel,
            "rate_hz": c.rate_hz,
            "batch_size": c.batch_size,
            "seed": c.seed,
        }


def call_spec(config: CallDataConfig) -> Mapping[str, np.ndarray]:
    """Shapes and dtypes of a global batch, as arrays that take no memory."""
    b = config.batch_size
    samples = samples_of("window_s", config.window_s, config.rate_hz)
    return spec_of(
        {
            "wave": ((b, samples), np.float32),
            "samples": ((b,), np.int32),
            "row": ((b,), np.int32),
        }
    )


def open_call_data(
    config: CallDataConfig, workdir: epath.PathLike, *, simulate: bool = True
) -> CallData:
    """Opens a config's calls; simulates them first if it says so.

    Args:
      config: As of `CallData`.
      workdir: `WORKDIR/simulated_calls` gets simulated files.
      simulate: Whether to simulate what is not there. Of several processes one alone
        may; the others wait for it.

    Raises:
      ManifestError: There is no manifest, or it does not fit; see `CallData`.
    """
    if config.simulate is None:
        if not config.manifest:
            raise ManifestError(
                "no calls: list yours with `python -m launch.build_calls --input=FOLDER"
                " --output=calls.csv` and give --config.data.manifest=calls.csv, or try"
                " --config=configs/speech_encoder.py:demo on simulated sounds"
            )
        return CallData(read_calls(config.manifest), config)
    # Simulating is slow to import, and most calls are there.
    from sigjax.data.audio_events import layouts
    from sigjax.data.calls.events import calls_of
    from sigjax.data.synthetic.events import write_events_set

    folder = epath.Path(workdir) / "simulated_calls"
    if simulate:
        write_events_set(folder, **dataclasses.asdict(config.simulate))
    manifest, _ = layouts.scan(folder, config.simulate.layout)
    return CallData(calls_of(manifest), config, simulated=True)


def _check_names(manifest: CallManifest, name: str, values: tuple[str, ...]) -> None:
    """Refuses names that no call has: who was to be left out would be trained on."""
    field = "group" if name == "without_groups" else "split"
    known = sorted({getattr(call, field) for call in manifest.calls} - {""})
    for value in values:
        if value not in known:
            some = ", ".join(known[:8]) + (", ..." if known[8:] else "")
            raise ManifestError(
                f"{name}: no call has the {field} {value!r}; there are {some or 'none'}"
            )


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {why}" for why, n in counts.items() if n)


def _digest(source: CallCrops) -> str:
    rows = [
        (call.id, call.path, call.start_s, call.end_s, length)
        for call, length in zip(source.calls, source.lengths.tolist(), strict=True)
    ]
    text = json.dumps(rows)
    return f"{len(rows)}:{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
