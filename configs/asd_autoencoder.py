r"""The autoencoder of the DCASE Task 2 baselines: one for each machine.

640-128x4-8-128x4-640 on five consecutive log-mel frames, mean squared error, Adam at
1e-3, batches of 512 vectors, 100 epochs; 267,928 parameters. A clip's score is its mean
squared error, or the selective Mahalanobis distance of its residuals (since 2023).

  python -m launch.pretrain --config=configs/asd_autoencoder.py --workdir=runs/asd_ae \
      --config.data.dataset=sets/dcase2021
  python -m launch.evaluate --workdir=runs/asd_ae

Each machine of the set, of any year or your own, has a run of its own; `data.machines`
chooses some.

Variants, joined by +, such as `conv+smoke`:
  conv        3x3 convolutions of stride 2 over 32 frames and 128 bands instead, a
              linear code of 8; a vector every 16 frames.
  vae         a Gaussian code, drawn in training; the score is the squared error of the
              mean's reconstruction. `task.beta` weighs the divergence.
  denoising   Gaussian noise of a quarter of the values' standard deviation is to be
              undone.
  demo, smoke on the simulated machines of configs/asd_sections.py; last of all.

The first three bring values to mean 0 and spread 1 of the training clips, which the
baseline does not. None of them is in the challenge's papers; their settings are ours.

The baseline shuffles the vectors of all clips. Here a batch is 32 vectors of each of 16
clips: 512 vectors that are less independent. An epoch of clips sees about a tenth of
their 309 vectors, so there are ten times as many.

Expected, by the organisers and not by us, harmonic means of AUC and pAUC: 0.6201 and
0.5343 on the development sections of 2021; 56.38 % in all on the evaluation sections.
"""

import ml_collections

from configs import asd_sections

_VECTORS, _OF = 32, 309
# The first of an autoencoder's numbers is the clip's mean squared error.
MSE = {"name": "one_number", "number": "column", "column": 0, "tail": "high"}


_NETWORKS = ("conv", "vae", "denoising")
_SIZES = ("demo", "smoke")


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """The baseline of 2021, or the variants that `arg` joins."""
    names = arg.split("+") if arg else []
    known = _NETWORKS + _SIZES
    for name in names:
        if name not in known:
            raise ValueError(
                f"configs/asd_autoencoder.py:{name} is unknown; variants:"
                f" {', '.join(known)}"
            )
    sizes = [name for name in names if name in _SIZES]
    if len(set(names)) < len(names) or sizes not in ([], names[-1:]):
        raise ValueError(
            f"configs/asd_autoencoder.py:{arg}: each variant once, and one of"
            f" {', '.join(_SIZES)} last"
        )
    size = sizes[0] if sizes else ""
    given = asd_sections.get_config(size)
    c = ml_collections.ConfigDict()
    c.system = "sound_autoencoder"
    c.seed = 0
    c.task = dict(mel=dict(rate_hz=16_000), vectors=_VECTORS)
    c.data, c.optim, c.train, c.mesh = given.data, given.optim, given.train, given.mesh
    c.model = dict(frames=5, mels=128, widths=(128, 128, 128, 128), code=8)
    c.scoring = dict(given.scoring, backends=(MSE, "selective_mahalanobis"))
    c.data.batch_size = 16
    if size == "":
        c.train.epochs = 100.0 * _OF / _VECTORS
    if size == "demo":
        c.train.epochs = 60.0
    if size == "smoke":
        c.data.batch_size = 4
        c.task.mel.n_mels = c.model.mels = 16
        c.model.widths, c.model.code = (16, 16), 4
    for name in names:
        if name in _NETWORKS:
            c.task.normalise = True
            {"conv": conv, "vae": vae, "denoising": denoising}[name](c)
    c.parts = asd_sections.EACH_MACHINE
    return c


def conv(c: ml_collections.ConfigDict) -> None:
    """Convolutions. A vector holds six times as many frames, so fewer are drawn."""
    c.model.kind, c.model.frames = "conv", 32
    c.model.widths = (4, 8) if c.model.mels == 16 else (16, 32, 64)
    c.task.vectors, c.task.hop = 4, 16


def vae(c: ml_collections.ConfigDict) -> None:
    """Kingma and Welling's Gaussian code."""
    c.model.latent, c.task.beta = "gaussian", 1.0


def denoising(c: ml_collections.ConfigDict) -> None:
    """Vincent et al.'s Gaussian noise."""
    c.task.noise = dict(kind="gaussian", sd=0.25)
