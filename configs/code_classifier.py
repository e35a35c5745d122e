r"""A classifier of few labels, from scratch or from an autoencoder's encoder.

"Autoencoders" (slides of Neural Networks and Deep Learning), weight initialisation:
"makes sense if labeled training data is scarce, but unlabeled data is easy to get". An
autoencoder learns from all examples that are not held out, the classifier from the
share `data.labelled` of their labels.

  python -m launch.pretrain --config=configs/autoencoder.py:digits+initial \
      --workdir=runs/ae
  python -m launch.finetune --config=configs/code_classifier.py --workdir=runs/few \
      --config.data.labelled=0.03 --config.encoder.weights=runs/ae
  python -m launch.finetune --config=configs/code_classifier.py --workdir=runs/scratch \
      --config.data.labelled=0.03

  greedy, layer by layer:  configs/autoencoder.py:digits+initial+greedy; the folder of
  its parts is what `encoder.weights` takes. With `denoising` before `initial` stacked
  denoising autoencoders. Other data:
  python -m launch.pretrain --config=configs/autoencoder.py:wrist+initial \
      --workdir=runs/ae_wrist --config.data.path=sets/sp_sw_har
  python -m launch.finetune --config=configs/code_classifier.py:wrist \
      --workdir=runs/wrist --config.data.path=sets/sp_sw_har \
      --config.encoder.weights=runs/ae_wrist

RUN/bundle at its end is what `launch.predict FILES --bundle=RUN/bundle` takes: sounds,
recordings of a wrist or an .npz with x, by what was learnt.

Variants (after a colon; several are joined by `+`, from left to right):
  digits   scikit-learn's digits; a fifth is the test side, a fifth of the rest chooses
           the step. The default.
  fsdd     log-mels of the Free Spoken Digit Dataset; speakers are apart:
           `data.held_out_groups` must name some, in the autoencoder's run, too.
  wrist    2-s windows of a labelled wrist set; people are apart, a fifth of those that
           are not held out choose the step.
  mae      behind `wrist`: the encoder is the masked autoencoder of paper 000, of
           configs/mae_windows.py; without weights the same network from scratch.
  frozen   the head alone learns.
  smoke    a few steps on digits, < 20 s.

The test side is the autoencoder's held-out side (the command refuses another): neither
has seen it, and it chooses nothing. Labels that choose the step are others than those
that are learnt from, and are there at every share; `train.select=""` does without them.
Every share gets as many steps; another `data.label_seed` shows other labels.

The masked autoencoder of paper 000 learns from the same windows without labels, and is
given here to the same command; without weights its network starts from scratch:
  python -m launch.pretrain --config=configs/mae_windows.py --workdir=runs/mae \
      --config.data.path=sets/sp_sw_har
  python -m launch.finetune --config=configs/code_classifier.py:wrist+mae \
      --workdir=runs/few_mae --config.data.path=sets/sp_sw_har \
      --config.encoder.weights=runs/mae --config.data.labelled=0.03
Its encoder may also be one of recordings (configs/mae_seconds.py, mae_wrist.py), a run
or a bundle, if the sizes in `model.mae` are its own (`--config.model.mae.width=96`) and
its patches divide a window; who is in its recordings is not compared.

`data.train_fraction` of configs/har_wrist.py is another share, of people with all their
labels, and its windows are others.

The slides print no number.
"""

import ml_collections
from ml_collections.config_dict import placeholder

from configs import autoencoder, mae_windows


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """Digits, or the variants named by `arg`, one after another."""
    variants = {
        "": lambda c: c,
        "digits": lambda c: c,
        "fsdd": fsdd,
        "wrist": wrist,
        "mae": mae,
        "frozen": frozen,
        "smoke": smoke,
    }
    c = digits()
    for name in arg.split("+"):
        if name not in variants:
            known = ", ".join(name for name in variants if name)
            raise ValueError(
                f"configs/code_classifier.py:{name} is unknown; variants: {known}"
            )
        c = variants[name](c)
    return c


def digits() -> ml_collections.ConfigDict:
    """64-256-128-64 and a linear layer."""
    c = _of("digits")
    c.data.validation = 0.2
    return c


def fsdd(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Convolutions on log-mels."""
    c = _of("fsdd", seed=c.seed)
    c.data.validation = 0.2
    return c


def wrist(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Convolutions on windows."""
    c = _of("wrist", seed=c.seed)
    c.data.validation = 0.2
    return c


def _of(data: str, seed: int = 0) -> ml_collections.ConfigDict:
    """Data, input and encoder of `configs/autoencoder.py:DATA+initial`."""
    start = autoencoder.get_config(f"{data}+initial")
    c = ml_collections.ConfigDict()
    c.system, c.seed = "code_classifier", seed
    c.task = dict(input=start.task.input.to_dict(), weighting="balanced")
    own = start.data.to_dict()
    del own["trained_classes"]
    c.data = dict(own, validation=0.0, validation_groups=(), label_seed=0)
    c.data.batch_size = 64
    c.model = dict(
        input_shape=start.model.input_shape,
        encoder=start.model.encoder,
        classes=0,
        code="plain",
    )
    c.encoder = dict(weights="", trainable=True)
    c.optim = dict(
        name="adamw",
        learning_rate=1e-3,
        schedule="cosine",
        warmup_epochs=0.0,
        final_fraction=0.0,
        weight_decay=1e-4,
        clip_norm=placeholder(float),
        multipliers=(),
    )
    c.train = dict(
        epochs=1.0,
        steps=1000,
        log_every=100,
        checkpoint_every=1000,
        keep=1,
        evaluate_every=50,
        select="balanced_accuracy",
        patience=placeholder(int),
    )
    c.mesh = dict(data=-1, fsdp=1, tensor=1, rules=())
    return c


def mae(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The mean of the masked autoencoder's tokens, in place of a stack's code."""
    c.model.encoder = ()
    c.model.mae = mae_windows.get_config().model.to_dict()
    return c


def frozen(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A linear probe of codes."""
    c.encoder.trainable = False
    if not c.encoder.weights:
        c.encoder.weights = "untrained"
    return c


def smoke(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Three steps of a small network, the encoder of configs/autoencoder.py:smoke."""
    c.model.encoder = autoencoder.get_config("smoke").model.encoder
    c.data.batch_size, c.data.held_out, c.data.labelled = 16, 0.02, 0.1
    c.train.steps, c.train.log_every, c.train.evaluate_every = 3, 1, 1
    c.train.checkpoint_every = 2
    return c


def sweep():
    """Shares of the labels, on digits: `--sweep_index=N`."""
    for share in (0.01, 0.03, 0.1, 0.3, 1.0):
        yield {"data.labelled": share}
