"""The study's networks on each set of sounds: what they see and how long they train."""

from launch.sounds.study_networks import Recipe
from sigjax.signal.mel import MelConfig

MEL = MelConfig(rate_hz=16_000, n_mels=64)
# Clips of ESC-10 have stretches of zeros: 80 dB below the loudest is the floor.
ESC_MEL = MelConfig(rate_hz=16_000, n_mels=64, hop=1024, top_db=80.0)
MOTOR_RECIPES = {
    "AE": Recipe(kind="autoencoder", clip_s=1.0, mel=MEL, steps=600, batch=16),
    "classifier": Recipe(kind="classifier", clip_s=1.0, mel=MEL, steps=150, batch=32),
    "multi-resolution": Recipe(
        *(),
        kind="branches",
        clip_s=1.0,
        mel=MEL,
        steps=150,
        batch=16,
        n_fft=(128, 256, 512),
        width=32,
    ),
}
ESC_RECIPES = {
    "AE": Recipe(kind="autoencoder", clip_s=5.0, mel=ESC_MEL, steps=600, batch=16),
    "classifier": Recipe(
        kind="classifier", clip_s=5.0, mel=ESC_MEL, steps=250, batch=32
    ),
    "multi-resolution": Recipe(
        kind="branches",
        clip_s=5.0,
        mel=ESC_MEL,
        steps=150,
        batch=16,
        n_fft=(256, 1024, 4096),
        width=32,
        spectrum=True,
    ),
}
# The AE again, and what else reconstructs: see `study_networks.AUTOENCODERS`.
AUTOENCODER_RECIPES = {
    "AE": MOTOR_RECIPES["AE"],
    **{
        name: Recipe(kind=kind, clip_s=1.0, mel=MEL, steps=600, batch=16)
        for name, kind in {
            "conv AE": "conv autoencoder",
            "VAE": "variational autoencoder",
            "denoising AE": "denoising autoencoder",
        }.items()
    },
}
