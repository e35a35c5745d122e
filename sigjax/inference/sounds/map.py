"""Where in time and frequency a sound's score comes from.

Of an autoencoder: the squared residual of each frame and band, which a frame has as
often as vectors of consecutive frames hold it; here their mean.

Of a back-end on the wave's spectrum: how far each frame and band is from the normal
mean, in standard deviations of normal frames, squared.

Of a classifier: integrated gradients (Sundararajan et al. 2017, "Axiomatic Attribution
for Deep Networks", eq. 1) of the score over the network's input x, from a baseline b:

    (x - b) * integral over a from 0 to 1 of the gradient at b + a (x - b)

whose sum is score(x) - score(b): the "completeness" that a test holds. The baseline is
a sound without events: in each band the mean level of the section's normal clips.
Back-ends are NumPy and scikit-learn: the score's gradient by what the network says is
taken by central differences, and that by the input by one backward pass.

A model of waves is entered at the magnitudes of the wave's short-time Fourier
transform, whose phases are kept: x = istft(magnitude * phase).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.evals.anomaly.backend import Backend
from sigjax.evals.anomaly.fusion import input_of
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.known_machines import KnownSection, MachineModel
from sigjax.inference.sounds.network import N_FFT, SoundNetwork
from sigjax.inference.sounds.waves import as_floats, segment, segment_starts
from sigjax.signal.mel import MelConfig, log_mel, mel_frequencies
from sigjax.tasks.frame_reconstruction import FrameReconstruction
from sigjax.tasks.section_id import SectionIdentification

# Of a band that is all but constant in normal sound.
_LEAST_DB = 0.5
# Of central differences, in units of the embedding's root mean square.
_STEP = 1e-4


class AnomalyMap(NamedTuple):
    """Where in time and frequency a score comes from.

    Attributes:
      value: Float32 `[t f]`, in `unit`.
      frequency_hz: Float64 `[f]`, where each band peaks.
      time_s: Float64 `[t]`, centre of each frame from the wave's beginning on.
      machine: Whose model it is of.
      section: Likewise.
      score: Of the wave.
      baseline: Score of the baseline, 0 where there is none. With one, the map's sum is
        `score - baseline` but for the error of an integral's steps.
      unit: `"dB2"`, squared residual; `"sd2"`, squared standard deviations from normal;
        or `"score"`, each point's share of the score.
    """

    value: np.ndarray
    frequency_hz: np.ndarray
    time_s: np.ndarray
    machine: str
    section: str
    score: float
    baseline: float
    unit: str


def anomaly_map(
    network: SoundNetwork,
    wave: np.ndarray,
    *,
    known: KnownSection,
    model: MachineModel,
    domain: str,
    steps: int,
    smooth: float,
) -> AnomalyMap:
    """See `SoundDetector.anomaly_map`.

    Args:
      network: What is asked.
      wave: `[s]`, checked.
      known: The section whose model is asked; its level is the baseline.
      model: Of its machine.
      domain: Of the wave.
      steps: Of the integral.
      smooth: Of the view.

    Raises:
      BundleError: `steps` or `smooth` is out of range.
    """
    if steps < 1 or smooth < 0:
        raise BundleError(f"steps={steps} and smooth={smooth}: must be >= 1 and >= 0")
    wave = as_floats(wave)
    starts = segment_starts(len(wave), network.samples)
    segments = np.stack([segment(wave, int(s), network.samples) for s in starts])
    spectrum = model.space == "spectrum"
    mel = network.spectrum_mel if spectrum else network.task.config.mel
    baseline, hop = 0.0, N_FFT // 2 if mel is None else mel.hop
    if spectrum:
        unit, value = "sd2", _deviations(network, segments, known.level)
    elif network.is_autoencoder:
        unit, value = "dB2", _squared_residuals(network, segments)
    else:
        own = model.models.models
        backend = own.get(known.key) or own[known.machine, ""]
        way, given = path_of(network), (network.variables, segments, known.level)
        value, baseline = integrated(way, *given, backend, domain, steps)
        unit = "score"
    value = _on_wave(value, starts, len(wave), hop, mean=unit != "score")
    if smooth:
        # Of all libraries' edges this one keeps the sum.
        from scipy.ndimage import gaussian_filter

        value = gaussian_filter(value, smooth, mode="reflect")
    return AnomalyMap(
        value=value.astype(np.float32),
        frequency_hz=_frequencies(network, mel),
        time_s=np.arange(len(value)) * hop / network.rate_hz,
        machine=known.machine,
        section=known.section,
        score=np.nan,
        baseline=baseline,
        unit=unit,
    )


def _frequencies(network: SoundNetwork, mel: MelConfig | None) -> np.ndarray:
    if mel is not None:
        return mel_frequencies(mel)
    return np.arange(N_FFT // 2 + 1) * network.rate_hz / N_FFT


def _on_wave(
    value: np.ndarray, starts: np.ndarray, length: int, hop: int, *, mean: bool
) -> np.ndarray:
    """Maps of segments `[b t f]` on the frames of their wave, float64 `[t f]`.

    What segments share is added, or averaged. A segment that repeats a short wave is
    folded back onto it.
    """
    frames = 1 + length // hop
    at = starts[:, None] + np.arange(value.shape[1]) * hop
    if len(starts) == 1 and at[0, -1] > length:
        at = at % length
    at = np.minimum(np.rint(at / hop).astype(np.int64), frames - 1)
    total = np.zeros((frames, value.shape[2]))
    np.add.at(total, at.ravel(), value.reshape(-1, value.shape[2]))
    if not mean:
        return total
    counts = np.bincount(at.ravel(), minlength=frames)
    return total / np.maximum(counts, 1)[:, None]


def _deviations(
    network: SoundNetwork, segments: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Float64 `[b t f]`, squared standard deviations from normal."""
    x = np.asarray(log_mel(jnp.asarray(segments), network.spectrum_mel), np.float64)
    mean, spread = np.split(np.asarray(level, np.float64), 2)
    return ((x - mean) / np.maximum(spread, _LEAST_DB)) ** 2


def _squared_residuals(network: SoundNetwork, segments: np.ndarray) -> np.ndarray:
    """Float64 `[b t f]`, mean over the vectors that hold a frame."""
    task = network.task
    residual = network.residuals(segments)
    assert isinstance(task, FrameReconstruction)
    bands, hop = task.config.mel.n_mels, task.config.hop
    b, n, _ = residual.shape
    square = np.square(residual.reshape(b, n, -1, bands), dtype=np.float64)
    stack, last = square.shape[2], (n - 1) * hop
    total, count = np.zeros((b, last + stack, bands)), np.zeros(last + stack)
    for i in range(stack):
        total[:, i : i + last + 1 : hop] += square[:, :, i]
        count[i : i + last + 1 : hop] += 1
    return total / count[:, None]


Said = Mapping[str, np.ndarray]
Score = Callable[[Said], np.ndarray]


def _score_of(backend: Backend, domain: str) -> Score:
    """Scores `[m]` of what the network said `[m ...]`."""

    def score(said: Said) -> np.ndarray:
        given = input_of(backend, said)
        count = len(next(iter(said.values())))
        return backend.score(given, [domain] * count)

    return score


def _slope(score: Score, said: Said, reads: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Gradient of the score of one sound by what the network said, in its shapes."""
    found = {name: np.zeros(value.shape, np.float32) for name, value in said.items()}
    for name in reads:
        value = said[name]
        flat = np.asarray(value, np.float64).ravel()
        step = _STEP * max(float(np.sqrt(np.mean(flat**2))), 1e-6)
        moved = flat + step * np.concatenate([np.eye(len(flat)), -np.eye(len(flat))])
        every = {
            other: np.repeat(np.asarray(x, np.float64)[None], len(moved), axis=0)
            for other, x in said.items()
        }
        every[name] = moved.reshape(len(moved), *value.shape)
        up, down = np.split(score(every), 2)
        slope = (up - down) / (2 * step)
        found[name] = slope.reshape(value.shape).astype(np.float32)
    return found


class _Spectral(SectionIdentification):
    """The task, entered at its normalised spectrogram."""

    def _input(self, variables, wave):
        del variables
        return wave


class Path(NamedTuple):
    """Compiled functions along the way from a baseline to a sound, of one segment.

    Attributes:
      enter: `(variables, wave [s], level [f])` to the network's input `[t f]`, its
        baseline `[t f]` and what else the network needs of the wave.
      forward: `(variables, input, rest)` to embedding `[d]` and logits `[n v]`.
      backward: `(variables, input, rest, slope)`: the slope of these to that of the
        input.
    """

    enter: Callable
    forward: Callable
    backward: Callable


@functools.lru_cache(maxsize=4)
def path_of(network: SoundNetwork) -> Path:
    """The functions of a network; compiled once, on use."""
    task, mel = network.task, network.task.config.mel
    assert isinstance(task, SectionIdentification)
    if mel is None:
        enter, embed = _magnitudes(task, network.samples)
    else:
        enter, embed = _log_mel(task, mel)

    def forward(variables, x, rest):
        out = embed(variables, x[None], rest)
        logits = out.logits.reshape(-1, out.logits.shape[-1])
        return {"embedding": out.embedding[0], "logits": logits}

    def backward(variables, x, rest, slope):
        _, back = jax.vjp(lambda z: forward(variables, z, rest), x)
        return back(slope)[0]

    return Path(jax.jit(enter), jax.jit(forward), jax.jit(backward))


def _log_mel(task: SectionIdentification, mel: MelConfig) -> tuple[Callable, Callable]:
    inner = _Spectral(
        dataclasses.replace(task.model_config, classes=task.classes), task.config
    )

    def enter(variables, wave, level):
        mean, std = (variables["statistics"][name] for name in ("mean", "std"))
        x = (log_mel(wave, mel) - mean) / std
        return x, jnp.broadcast_to((level - mean) / std, x.shape), ()

    def embed(variables, x, rest):
        del rest
        return inner.embed(variables, x)

    return enter, embed


def _magnitudes(task: Any, samples: int) -> tuple[Callable, Callable]:
    def enter(variables, wave, level):
        del variables
        _, _, spectrum = jax.scipy.signal.stft(wave, nperseg=N_FFT)
        x = jnp.abs(spectrum).T
        some = x > 0
        phase = jnp.where(some, spectrum.T / jnp.where(some, x, 1), 1)
        # This transform is divided by the window's sum; our mean spectra are not.
        return x, jnp.broadcast_to(level * (2 / N_FFT), x.shape), phase

    def embed(variables, x, phase):
        spectrum = jnp.swapaxes(x * phase, -1, -2)
        _, wave = jax.scipy.signal.istft(spectrum, nperseg=N_FFT)
        return task.embed(variables, wave[..., :samples])

    return enter, embed


def integrated(
    path: Path,
    variables: Any,
    segments: np.ndarray,
    level: np.ndarray,
    backend: Backend,
    domain: str,
    steps: int,
) -> tuple[np.ndarray, float]:
    """Integrated gradients by the midpoint rule, finer near the baseline.

    A clip's embedding is the mean over its segments, their class scores stay apart.

    Args:
      path: Of the network.
      variables: Likewise.
      segments: Float32 `[b s]` of one clip.
      level: Float32 `[f]`, the baseline's.
      backend: Gives the score.
      domain: Of the clip.
      steps: Points of the path.

    Returns:
      Float64 `[b t f]`, and the baseline's score.
    """
    ends = [path.enter(variables, wave, level) for wave in segments]
    score = _score_of(backend, domain)

    def at(share: float) -> list[jax.Array]:
        return [b + np.float32(share) * (x - b) for x, b, _ in ends]

    def said(places: list[jax.Array]) -> Said:
        found = [
            jax.device_get(path.forward(variables, x, rest))
            for x, (_, _, rest) in zip(places, ends, strict=True)
        ]
        logits = np.concatenate([one["logits"] for one in found])
        every = np.stack([one["embedding"] for one in found]).astype(np.float64)
        return {
            "embedding": every.mean(axis=0),
            "logits": logits if len(logits) > 1 else logits[0],
        }

    total = [np.zeros(x.shape) for x, _, _ in ends]
    count = len(ends)
    # Scores bend most near the baseline: points at the squares of equal steps.
    middle = (np.arange(steps) + 0.5) / steps
    for share, weight in zip(middle**2, 2 * middle / steps, strict=True):
        places = at(share)
        slope = _slope(score, said(places), backend.reads)
        logits = slope["logits"].reshape(count, -1, slope["logits"].shape[-1])
        for i, place in enumerate(places):
            own = {"embedding": slope["embedding"] / count, "logits": logits[i]}
            pulled = path.backward(variables, place, ends[i][2], own)
            total[i] += weight * np.asarray(pulled, np.float64)
    first = {name: value[None] for name, value in said(at(0.0)).items()}
    way = [np.asarray(x, np.float64) - np.asarray(b, np.float64) for x, b, _ in ends]
    value = np.stack([w * t for w, t in zip(way, total, strict=True)])
    return value, float(score(first)[0])
