"""Small untrained networks of machine sounds, and sounds for them."""

from typing import Any

import jax
import numpy as np

from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.fit import fit_section
from sigjax.inference.sounds.network import SoundNetwork
from sigjax.models.frame_autoencoder import FrameAutoencoderConfig
from sigjax.models.section_classifier import SectionClassifierConfig
from sigjax.models.spectral_branches import SpectralBranchesConfig
from sigjax.signal.mel import MelConfig, frame_count
from sigjax.tasks.frame_reconstruction import (
    FrameReconstruction,
    FrameReconstructionConfig,
)
from sigjax.tasks.section_id import SectionIdConfig, SectionIdentification

RATE_HZ, CLIP_S = 8000, 0.5
SAMPLES = round(RATE_HZ * CLIP_S)
MEL = MelConfig(rate_hz=RATE_HZ, n_fft=256, hop=128, n_mels=16, f_min_hz=100.0)


def classifier(**task) -> SoundNetwork:
    model = SectionClassifierConfig(
        classes=3,
        frames=frame_count(SAMPLES, MEL),
        mels=16,
        stem=4,
        channels=8,
        expansion=(2,),
        blocks=(1,),
        wide=16,
        embedding=6,
    )
    config = SectionIdConfig(mel=MEL, clip_s=CLIP_S, **task)
    return network(SectionIdentification(model, config))


def autoencoder() -> SoundNetwork:
    model = FrameAutoencoderConfig(frames=3, mels=16, widths=(8,), code=4)
    config = FrameReconstructionConfig(mel=MEL)
    return network(FrameReconstruction(model, config))


def branches() -> SoundNetwork:
    """Of waves: a spectrogram branch alone, on 2 s."""
    model = SpectralBranchesConfig(
        classes=2, rate_hz=RATE_HZ, clip_s=2.0, n_fft=(256,), spectrum=False, width=8
    )
    task = SectionIdentification(model, SectionIdConfig(clip_s=2.0, loss="adacos"))
    return network(task, clip_s=2.0)


def network(task, clip_s=CLIP_S) -> SoundNetwork:
    """Random weights, drawn without compiling anything."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name, last = path[0].key, path[-1].key
        if name == "statistics":
            return np.asarray({"mean": -60.0, "std": 15.0}[last], np.float32)
        if last == "mean":
            return np.float32(rng.uniform(-0.2, 0.2, leaf.shape))
        if last in ("var", "scale"):
            return np.float32(rng.uniform(0.5, 1.5, leaf.shape))
        if "output" in str(path) and last == "bias":
            return np.float32(rng.normal(-60, 1, leaf.shape))
        fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 1.0
        return np.float32(rng.normal(size=leaf.shape) / np.sqrt(fan_in))

    shapes = jax.eval_shape(task.init, jax.random.key(0), {})
    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    return SoundNetwork(task, variables, clip_s=clip_s)


def hum(seconds, seed=0, hz=440.0, rate_hz=RATE_HZ) -> np.ndarray:
    """A machine that runs: a tone with a harmonic and noise, float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    x = 0.2 * np.sin(2 * np.pi * hz * t) + 0.1 * np.sin(4 * np.pi * hz * t)
    return (x + 0.05 * rng.normal(size=len(t))).astype(np.float32)


def detector(made: SoundNetwork | None = None, machines=(), **fit) -> SoundDetector:
    """Fitted on hums: machines with a section each, another pitch each."""
    made = made or classifier()
    pairs = machines or (("pump", "00"),)
    values: dict[str, Any] = {
        "domain": "source",
        "backend": "knn",
        "features": "network",
        "false_alarms_per_day": 2 * 86400 / made.clip_s / 10,
        "hop_s": made.clip_s,
        **fit,
    }
    known = None
    for i, (machine, section) in enumerate(pairs):
        given = {**values, "machine": machine, "section": section}
        wave = hum(12 * made.clip_s, seed=i, hz=300.0 * (i + 1))
        if known is None:
            model, own = fit_section(made, [wave], **given)
            info = {"source_run": {"step": 1}}
            known = SoundDetector(made, [own], {machine: model}, info)
        else:
            known = known.fit([wave], **given)
    assert known is not None
    return known
