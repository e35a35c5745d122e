r"""The masked autoencoder of paper 000 on the windows that a classifier is shown.

Lorenzen et al. 2025 (arXiv 2502.17477): patches hidden, LMM loss, the same network. Its
windows are not cut from recordings of hours but are those of a labelled wrist set,
without their labels, so that it can start configs/code_classifier.py beside other
autoencoders: same people held out, same windows.

  python -m launch.pretrain --config=configs/mae_windows.py --workdir=runs/mae \
      --config.data.path=sets/sp_sw_har
  python -m launch.finetune --config=configs/code_classifier.py:wrist+mae \
      --workdir=runs/few --config.data.path=sets/sp_sw_har \
      --config.encoder.weights=runs/mae --config.data.labelled=0.03

Windows of 2 s at 30 Hz in five patches of 0.4 s: ten of 0.2 s did worse on three
training people of sp-sw-har. n_fft is 12 because the paper's 32 is longer than a patch.
Two blocks of width 64, configs/mae_wrist.py:demo's; 1,200 steps of 64 windows.

Variants (after a colon, joined by `+`):
  both   LMM + 10 MSE, which docs/losses_on_real_data.md advises for seconds. The mean
         magnitude does not know in what order a patch's samples come, nor their sign.
  smoke  three steps of a tiny network on digits taken for signals, < 20 s.

An .npz of windows (`data.source=arrays`) does as well. launch.export gives a bundle
that embeds recordings, as that of configs/mae_wrist.py does.
"""

import ml_collections

from configs import autoencoder, mae_seconds


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """Windows of two seconds, or the variants named by `arg`, one after another."""
    variants = {"": lambda c: c, "both": both, "smoke": smoke}
    c = windows()
    for name in arg.split("+"):
        if name not in variants:
            raise ValueError(
                f"configs/mae_windows.py:{name} is unknown; variants: both, smoke"
            )
        c = variants[name](c)
    return c


def windows() -> ml_collections.ConfigDict:
    """The recordings' network and optimizer, the autoencoder's examples."""
    own = autoencoder.get_config("wrist")
    seconds = mae_seconds.get_config()
    c = ml_collections.ConfigDict()
    c.system, c.seed = "example_mae", 0
    c.task = dict(input_shape=(60, 3), mask_rate=0.6)
    c.data = own.data
    c.model = dict(seconds.model, patch_size=36, width=64, depth=2, mlp_dim=168)
    c.loss = dict(seconds.loss, n_fft=12)
    c.optim = dict(seconds.optim, warmup_epochs=0.5)
    c.train = own.train
    c.train.epochs, c.train.steps = 1.0, 1200
    c.train.log_every, c.train.checkpoint_every = 100, 1200
    c.train.evaluate_every_epochs, c.train.keep = 5.0, 1
    c.mesh = own.mesh
    return c


def both(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Spectra and samples."""
    c.loss.mse = 10.0
    return c


def smoke(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Eight samples of eight channels, patches of two."""
    few = autoencoder.get_config("smoke")
    c.data, c.train = few.data, few.train
    c.task.input_shape = (8, 8)
    c.model.patch_size, c.model.width, c.model.depth = 16, 16, 1
    c.model.num_heads, c.model.mlp_dim = 2, 32
    c.loss.n_fft = 2
    return c
