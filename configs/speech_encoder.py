r"""Speech encoders pre-trained from scratch by masked prediction (HuBERT).

"HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden
Units" (Hsu et al. 2021, arXiv 2106.07447): k-means clusters of cepstra are predicted
where spans of 0.2 s are hidden; then, optionally, those of a layer of the first run.

  python -m launch.build_calls --input=FOLDER --output=calls.csv --split=grouped
  python -m launch.pretrain --config=configs/speech_encoder.py:nano \
      --workdir=runs/nano --config.data.manifest=calls.csv
  python -m launch.extract --bundle=runs/nano/bundle --manifest=calls.csv \
      --output=features

A second iteration predicts 500 clusters of layer 6 of the first run's encoder:

  python -m launch.pretrain --config=configs/speech_encoder.py:second \
      --workdir=runs/two --config.data.manifest=calls.csv \
      --config.clusters.teacher=runs/one/bundle

Variants (after a colon; several are joined by +, as in `nano+second`):
  base    the same as none: 94 M parameters, crops of 15.6 s, for accelerators.
  nano    0.9 M parameters, crops of 1 s, for calls and digits on a CPU.
  short   for calls of half a second and minutes of training; after another, as in
          `nano+short`, which docs/calls_on_real_data.md measures.
  second  the second iteration: another run's layer.
  demo    nano on simulated sounds: a few minutes on two cores.
  smoke   a few steps of a tiny encoder on seconds of simulated sound, < 20 s.

Calls of the split "test" are never trained on; of whom a probe will be tested on,
--config.data.without_groups="('jackson',)" leaves out the rest.

The paper's: masks that begin at 8 % of the frames and are 10 frames long, cosines over
0.1 with codes of 256 numbers, the loss of hidden frames alone (alpha 1), 100 clusters
of 13 MFCCs with two orders of deltas, dropout 0.1, LayerDrop 0.05, Adam with betas 0.9
and 0.98 at a peak of 5e-4 after a warm-up of 8 %, 250,000 steps of up to 87.5 s of
sound on each of 32 GPUs. Different here: the rate falls as a cosine, not linearly;
frames are standardised before k-means, where Kaldi's liftering scales them; crops are
normalised by their peak; a batch is of crops of one length, of which short calls fill a
part. Targets are of the crop, not of the whole call.
"""

import ml_collections


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """The base encoder, or the variants named by `arg`, one after another."""
    variants = {
        "": lambda c: c,
        "base": lambda c: c,
        "nano": nano,
        "short": short,
        "second": second,
        "demo": demo,
        "smoke": smoke,
    }
    c = base()
    for name in arg.split("+"):
        if name not in variants:
            known = ", ".join(name for name in variants if name)
            raise ValueError(
                f"configs/speech_encoder.py:{name} is unknown; variants: {known}"
            )
        c = variants[name](c)
    return c


def base() -> ml_collections.ConfigDict:
    """HuBERT-base, its first iteration."""
    c = ml_collections.ConfigDict()
    c.system = "speech_encoder"
    c.seed = 0
    c.task = dict(
        clusters=100,
        targets="cepstra",
        cepstra=dict(
            fbank=dict(rate_hz=16000.0, n_mels=23, window="povey"),
            coefficients=13,
            orders=2,
        ),
        layer=6,
        mask_rate=0.08,
        mask_length=10,
        visible_weight=0.0,
        code_width=256,
        temperature=0.1,
        cnn_penalty=10.0,
        dtype="auto",
    )
    c.data = dict(
        manifest="",
        batch_size=64,
        window_s=15.6,
        shortest_s=0.0,
        splits=(),
        without_splits=("test",),
        without_groups=(),
        validation_splits=("validation",),
        validation_fraction=0.0,
        normalise="peak",
        channel=0,
        rate_hz=16000,
        seed=0,
        simulate=None,
        workers=0,
        read_threads=4,
        prefetch_batches=4,
    )
    c.model = dict(
        kind="hubert",
        conv_dim=(512,) * 7,
        conv_norm="group",
        width=768,
        depth=12,
        heads=12,
        mlp=3072,
        pre_norm=False,
        pos_taps=128,
        mask_embedding=True,
        dropout=0.1,
        attention_dropout=0.1,
        activation_dropout=0.0,
        feature_dropout=0.1,
        layer_drop=0.05,
        remat=False,
    )
    c.clusters = dict(
        frames=1_000_000,
        starts=20,
        batch_frames=10_000,
        passes=100,
        seed=0,
        teacher="",
    )
    c.optim = dict(
        name="adamw",
        learning_rate=5e-4,
        schedule="cosine",
        warmup_epochs=0.0,
        warmup_steps=20_000,
        final_fraction=0.0,
        weight_decay=0.01,
        clip_norm=10.0,
        b1=0.9,
        b2=0.98,
        eps=1e-6,
        multipliers=(),
    )
    c.train = dict(
        epochs=1.0,
        steps=250_000,
        log_every=100,
        checkpoint_every=5000,
        keep=2,
        evaluate_every=5000,
        accumulation=1,
    )
    c.mesh = dict(data=-1, fsdp=1, tensor=1, rules=())
    return c


def nano(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A narrow encoder of four blocks; crops of a second."""
    c.model = dict(
        c.model,
        conv_dim=(64,) * 7,
        width=128,
        depth=4,
        heads=4,
        mlp=512,
        pos_taps=32,
        layer_drop=0.0,
    )
    c.task.layer = 2
    c.data.window_s, c.data.batch_size = 1.0, 32
    c.data.validation_fraction = 0.02
    c.clusters.frames, c.clusters.starts = 200_000, 5
    c.optim.learning_rate, c.optim.warmup_steps = 1e-3, 300
    c.optim.clip_norm = 1.0
    c.train.steps, c.train.log_every = 6000, 50
    c.train.checkpoint_every = c.train.evaluate_every = 500
    return c


def short(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Crops of half a second, few of them, for not many steps."""
    c.data.window_s = 0.5
    # More steps of the same sound, which is what little time has few of.
    c.data.batch_size = 16
    # A call has some 20 frames: a span of 10 would hide half of it in one piece. Less
    # is hidden as well, 47 % for 57 %.
    c.task.mask_length, c.task.mask_rate = 5, 0.12
    # Dropout is for long trainings; with it this one was not tried.
    c.model = dict(c.model, dropout=0.0, attention_dropout=0.0, feature_dropout=0.0)
    c.optim.learning_rate, c.optim.warmup_steps = 2e-3, 100
    c.train.steps = 800
    c.train.checkpoint_every, c.train.evaluate_every = 200, 400
    return c


def second(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Clusters of a layer of an earlier run: `clusters.teacher` is its bundle."""
    c.task.targets, c.task.clusters = "layer", 500
    c.task.layer = c.model.depth // 2
    return c


def demo(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Eight classes of simulated sound; one fold to watch the loss on."""
    c = nano(c)
    c.data.simulate = dict(
        layout="esc50", clips=30, classes=8, clip_s=1.0, rate_hz=16000, seed=0
    )
    c.data.validation_splits, c.data.validation_fraction = ("fold1",), 0.0
    c.data.batch_size = 16
    c.task.clusters = 50
    c.optim.warmup_steps = 50
    c.train.steps, c.train.log_every = 600, 20
    c.train.checkpoint_every = c.train.evaluate_every = 100
    return c


def smoke(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Half a second a crop, one narrow block."""
    c = demo(c)
    c.data.simulate = dict(
        layout="esc50", clips=5, classes=2, clip_s=0.6, rate_hz=16000, seed=0
    )
    c.data.window_s, c.data.batch_size = 0.4, 4
    c.model = dict(
        c.model,
        conv_dim=(8,) * 7,
        width=16,
        depth=1,
        heads=2,
        mlp=16,
        pos_taps=4,
        pos_groups=2,
    )
    c.task.clusters, c.task.code_width, c.task.layer = 5, 8, 1
    c.clusters.starts, c.clusters.passes = 1, 2
    c.optim.warmup_steps = 1
    c.train.steps, c.train.log_every = 3, 1
    c.train.checkpoint_every = c.train.evaluate_every = 2
    return c
