r"""The autoencoder of the DCASE Task 2 baselines: one for each machine.

640-128x4-8-128x4-640 on five consecutive log-mel frames, mean squared error, Adam at
1e-3, batches of 512 vectors, 100 epochs; 267,928 parameters. A clip's score is its mean
squared error, or the selective Mahalanobis distance of its residuals (since 2023).

  python -m launch.pretrain --config=configs/asd_autoencoder.py --workdir=runs/asd_ae \
      --config.data.dataset=sets/dcase2021
  python -m launch.evaluate --workdir=runs/asd_ae

Variants: `demo`, `smoke`, on the simulated machines of configs/asd_sections.py.

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


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """The baseline of 2021, or the variant named by `arg`."""
    if arg not in ("", "demo", "smoke"):
        raise ValueError(
            f"configs/asd_autoencoder.py:{arg} is unknown; variants: demo, smoke"
        )
    given = asd_sections.get_config(arg)
    c = ml_collections.ConfigDict()
    c.system = "sound_autoencoder"
    c.seed = 0
    c.task = dict(mel=dict(rate_hz=16_000), vectors=_VECTORS)
    c.data, c.optim, c.train, c.mesh = given.data, given.optim, given.train, given.mesh
    c.model = dict(frames=5, mels=128, widths=(128, 128, 128, 128), code=8)
    c.scoring = dict(given.scoring, backends=(MSE, "selective_mahalanobis"))
    c.data.batch_size = 16
    machines = asd_sections.MACHINES
    if arg == "":
        c.train.epochs = 100.0 * _OF / _VECTORS
    if arg == "demo":
        c.train.epochs = 60.0
        machines = given.data.simulate.machines
    if arg == "smoke":
        c.data.batch_size = 4
        c.task.mel.n_mels = c.model.mels = 16
        c.model.widths, c.model.code = (16, 16), 4
        machines = given.data.simulate.machines
    c.parts = asd_sections.one_each(machines)
    return c
