r"""The masked autoencoder on windows of ten seconds, for short scripted recordings.

Patches of 1 s instead of 10: executions of sp-sw-har last 11 s. Width 96, 4 blocks,
AdamW, 1,200 steps of 64 windows: about a minute on one core.

  python -m launch.pretrain --config=configs/mae_seconds.py --workdir=runs/seconds \
      --config.data.store=STORE --config.data.without=sp_sw_har_5_folds:fold1

`data.without` leaves out whom a classifier will be tested on. Sizes are those of a
sketch on other people's half of the question, not tuned here; n_fft is 30 because the
paper's 32 is longer than a patch. `launch.reproduce --paper=000_real` compares losses.
"""

import ml_collections

from configs import mae_wrist


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """Ten patches of a second; `smoke` is tiny, on simulated data."""
    if arg not in ("", "smoke"):
        raise ValueError(f"configs/mae_seconds.py:{arg} is unknown; variants: smoke")
    c = mae_wrist.paper()
    c.task.window_s, c.task.windows, c.task.patch_s = 10.0, 1, 1.0
    c.data.crop_s, c.data.batch_size, c.data.without = 10.0, 64, ""
    c.data.read_threads, c.data.prefetch_batches = 1, 2
    # Nobody: held-out people are those of the labelled set.
    c.data.validation_fraction = 0.0
    c.model.patch_size, c.model.width, c.model.depth = 90, 96, 4
    c.model.num_heads, c.model.mlp_dim = 4, 256
    # Ten tokens: attention is too small for a loop over blocks.
    c.model.attention = "xla"
    c.loss.n_fft = 30
    c.optim.name, c.optim.learning_rate, c.optim.schedule = "adamw", 3e-3, "cosine"
    c.optim.weight_decay, c.optim.b2, c.optim.final_fraction = 0.05, 0.95, 0.05
    c.optim.warmup_epochs = 60.0  # an epoch of few recordings is a step
    c.train.steps, c.train.log_every, c.train.checkpoint_every = 1200, 100, 1200
    c.train.keep = 1
    if arg == "smoke":
        c.data.simulate = dict(people=2, days=0.021, seed=0)
        c.data.batch_size, c.model.width, c.model.depth = 2, 16, 1
        c.model.num_heads, c.model.mlp_dim = 2, 32
        c.train.steps, c.train.log_every, c.train.checkpoint_every = 3, 1, 3
    return c
