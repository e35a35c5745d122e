r"""Autoencoders: the slides' systems, one after another, on digits, sounds and wrists.

"Autoencoders", slides of Neural Networks and Deep Learning (paper 004). Without a
variant, their first network: 784-128-64-12-3 and back, ReLU, tanh at the end, images in
[-1, 1], mean squared error, on MNIST (TensorFlow Datasets; 11.6 MB are fetched once).

  python -m launch.pretrain --config=configs/autoencoder.py --workdir=runs/ae
  python -m launch.pretrain --config=configs/autoencoder.py:demo --workdir=runs/demo
  python -m launch.pretrain --config=configs/autoencoder.py:digits+vae \
      --workdir=runs/vae
  python -m launch.build_calls --input=FSDD --output=fsdd.csv
  python -m launch.pretrain --config=configs/autoencoder.py:fsdd+vae \
      --workdir=runs/fsdd --config.data.path=fsdd.csv
  python -m launch.evaluate --workdir=runs/vae
  python -m launch.export --workdir=runs/vae --output=bundles/vae

Variants (after a colon; several are joined by +, from left to right: data first).

Data:
  mnist          the same as none: 28 x 28; 60,000 to train on, 10,000 held out.
  digits         scikit-learn's 1,797 digits of 8 x 8, a fifth held out: no network.
                 The network is narrower: 64-48-32-12-3.
  fsdd           log-mels of 0.63 s of spoken digits at 8 kHz, 64 frames x 64 bands, by
                 convolutions, on top of principal components (model.base), to 16
                 numbers; `data.path` is of launch.build_calls.
  wrist          2-s windows of a labelled wrist set at 30 Hz (launch.build_dataset with
                 --record_s=1 --label_s=1), denoised: white noise -5 to 20 dB below the
                 movement. `data.path` is the set; data.held_out_groups are five people
                 of sp-sw-har: give your own.
  waves          256 ms of spoken digits at 8 kHz, denoised at -5 to 20 dB.

Systems, of whatever data came before:
  linear         one layer each way to 16 numbers, no activation: spans PCA's subspace.
  deep           a bottleneck of 2 numbers, to look at: 784-1000-500-250-2 as Hinton and
                 Salakhutdinov (2006), or 64-128-64-32-2.
  overcomplete   one layer to twice the input's values: regularise it, or it copies.
  sparse         overcomplete with a sigmoid; KL to a mean activation of 0.05.
  contractive    one sigmoid layer, its Jacobian's squared norm in closed form.
  tied           the encoder's kernels transposed: half the matrices.
  denoising      a quarter of the values masked (images), white noise (log-mels).
  conv           the slides' 28-10-5-3-2-5-15-28 network; of other sizes, convolutions
                 of stride 2.
  vae            a Gaussian code of 20 numbers, Bernoulli likelihood: 784-400-20 dense;
                 of log-mels and windows the convolutions that are there.
  l2             lambda times the squared kernels, 1e-5.
  glorot, he, orthogonal   what the layers that came before start from, in place of
                 PyTorch's (sigjax/nn/initialisation.py).
  initial        an encoder for configs/code_classifier.py to start from, of the same
                 data: digits 64-256-128-64, sounds and windows convolutions to 64.
  greedy         layer by layer (Bengio et al. 2007; behind `denoising` Vincent et al.
                 2010): a run for each, in folders layer1, layer2, ...; comes last.
  demo           digits to 2 numbers: under a minute on two cores.
  smoke          a few steps on digits, < 20 s.

The slides print no optimizer, batch or length (AdamW at 1e-3, 128, 20 epochs here), and
no noise, lambda or rho: those of `sweep()` are ours. Their formulas lack squares and a
sign; see sigjax/losses/variational.py.
"""

import ml_collections
from ml_collections.config_dict import placeholder

from configs.networks.examples import (
    digits,
    flat,
    fsdd,
    last_of,
    values_of,
    waves,
    wrist,
)
from configs.networks.stacks import (
    convolutions,
    dense,
    initialised,
    slides,
    spectrogram,
)


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """The slides' first network, or the variants named by `arg`, one after another."""
    variants = {
        "": lambda c: c,
        "mnist": lambda c: c,
        "digits": digits,
        "fsdd": fsdd,
        "wrist": wrist,
        "waves": waves,
        "linear": linear,
        "deep": deep,
        "overcomplete": overcomplete,
        "sparse": sparse,
        "contractive": contractive,
        "tied": tied,
        "denoising": denoising,
        "conv": conv,
        "vae": vae,
        "l2": l2,
        "glorot": lambda c: started(c, "glorot"),
        "he": lambda c: started(c, "he"),
        "orthogonal": lambda c: started(c, "orthogonal"),
        "initial": initial,
        "greedy": greedy,
        "demo": demo,
        "smoke": smoke,
    }
    c = deck()
    for name in arg.split("+"):
        if name not in variants:
            known = ", ".join(name for name in variants if name)
            raise ValueError(
                f"configs/autoencoder.py:{name} is unknown; variants: {known}"
            )
        c = variants[name](c)
    return c


def deck() -> ml_collections.ConfigDict:
    """784-128-64-12-3 on MNIST."""
    c = ml_collections.ConfigDict()
    c.system = "autoencoder"
    c.seed = 0
    c.task = dict(
        input=dict(
            kind="values",
            scale=2 / 255,
            offset=-1.0,
            mel=placeholder(object),
            top_db=80.0,
        ),
        likelihood="mse",
        log_scale=0.0,
        learn_scale=False,
        noise=dict(
            kind="none",
            sd=0.0,
            share=0.0,
            unit="values",
            fill=0.0,
            snr_db=placeholder(object),
            noise="white",
            centred=False,
        ),
        sparsity=placeholder(object),
        contractive=placeholder(object),
        beta=1.0,
        l2=0.0,
        depth=0,
    )
    c.encoder = dict(weights="")
    c.task.noise.snr_db = 10.0
    c.data = dict(
        source="mnist",
        path="",
        samples=0,
        rate_hz=0,
        channel=0,
        window_s=0.0,
        stride_s=0.0,
        scheme="",
        held_out=0.0,
        held_out_groups=(),
        held_out_splits=("test",),
        trained_classes=(),
        labelled=1.0,
        batch_size=128,
        seed=0,
        workers=0,
        read_threads=2,
        prefetch_batches=4,
    )
    c.model = dict(
        input_shape=(784,),
        tied=False,
        decoder_activation="identity",
        code="plain",
        residual=False,
        base="none",
        **dense((784, 128, 64, 12, 3), "relu", "tanh"),
    )
    c.optim = dict(
        name="adamw",
        learning_rate=1e-3,
        schedule="constant",
        warmup_epochs=0.0,
        final_fraction=0.0,
        weight_decay=0.0,
        clip_norm=placeholder(float),
        b1=0.9,
        b2=0.999,
        eps=1e-8,
    )
    c.train = dict(
        epochs=20.0,
        steps=placeholder(int),
        log_every=100,
        checkpoint_every=2000,
        keep=2,
        evaluate_every_epochs=2.0,
        accumulation=1,
    )
    c.mesh = dict(data=-1, fsdp=1, tensor=1, rules=())
    return c


# Systems.


def linear(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Undercomplete and linear: less the mean, or the bias would have to learn it."""
    c = flat(c)
    n = values_of(c)
    c.model.base = "mean"
    c.optim.learning_rate = 2e-2 if n < 500 else 2e-3
    c.optim.schedule, c.optim.warmup_epochs = "cosine", 1.0
    return _with(c, dense((n, 16), "identity", "identity"))


def deep(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """To the plane."""
    last, c = last_of(c), flat(c)
    n = values_of(c)
    hidden = (1000, 500, 250) if n > 500 else (128, 64, 32)
    return _with(c, dense((n, *hidden, 2), "relu", last))


def overcomplete(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """More numbers than there are."""
    last, c = last_of(c), flat(c)
    c.model.base = _mean_at_most(c)
    n = values_of(c)
    return _with(c, dense((n, 2 * n), "relu", last, "relu"))


def sparse(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Few of many."""
    last, c = last_of(c), flat(c)
    c.model.base = _mean_at_most(c)
    n = values_of(c)
    c.task.sparsity = dict(kind="kl", weight=0.01, rho=0.05, active=0.5)
    return _with(c, dense((n, 2 * n), "sigmoid", last, "sigmoid"))


def contractive(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Rifai et al. 2011, whose closed form is of examples as they are."""
    last, c = last_of(c), flat(c)
    c.model.base = "none"
    n = values_of(c)
    c.task.contractive = dict(weight=0.01, method="auto")
    return _with(c, dense((n, n // 2), "sigmoid", last, "sigmoid"))


def tied(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The decoder is the encoder's mirror image."""
    c.model.decoder_activation = last_of(c)
    c.model.tied, c.model.decoder = True, ()
    return c


def denoising(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Vincent et al. 2010: masked values of images, else noise."""
    if c.task.input.kind == "values" and c.data.source in ("mnist", "digits"):
        c.task.noise.kind, c.task.noise.share = "masking", 0.25
        c.task.noise.fill = c.task.input.offset  # The paper's black is no ink.
    elif c.task.input.kind == "log_mel":
        c.task.noise.kind, c.task.noise.sd = "gaussian", 0.15
    return c  # windows of a wrist are denoised already


def conv(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The slides' convolutions, or those of `convolutions`."""
    last = last_of(c)
    if c.data.source == "mnist":
        c.model.input_shape = (28, 28, 1)
        return _with(c, slides(last))
    if c.data.source == "digits":
        c.model.input_shape = (8, 8, 1)
    shape = c.model.input_shape
    return _with(c, convolutions(shape, (16, 32), 8, last))


def vae(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Kingma and Welling 2014."""
    c.model.code, c.task.beta = "gaussian", 1.0
    if c.data.source in ("mnist", "digits"):
        white = 255 if c.data.source == "mnist" else 16
        c.task.input = dict(kind="values", scale=1 / white)
        c.task.likelihood = "bernoulli"
        c = flat(c)
        n = values_of(c)
        sizes = (n, 400, 40) if n > 500 else (n, 128, 16)
        layers = dense(sizes, "relu", "identity")
        code = dense((n, sizes[1], sizes[2] // 2), "relu", "identity")
        return _with(c, dict(encoder=layers["encoder"], decoder=code["decoder"]))
    # Neither probabilities nor masked: a Gaussian whose width is learned.
    c.task.likelihood, c.task.log_scale, c.task.learn_scale = "gaussian", -2.0, True
    c.task.noise.kind = "none"
    widths = tuple(
        layer["width"] for layer in c.model.encoder if layer["kind"] == "conv"
    )
    shape = c.model.input_shape
    c.optim.clip_norm = 100.0
    if c.task.input.kind == "log_mel":
        return _with(c, spectrogram(shape, 16, gaussian=True))
    return _with(c, convolutions(shape, widths, 16, "identity", gaussian=True))


def l2(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The slides' second loss."""
    c.task.l2 = 1e-5
    return c


def _mean_at_most(c) -> str:
    """A base for more numbers than there are components."""
    return "none" if c.model.base == "none" else "mean"


def started(c, init: str) -> ml_collections.ConfigDict:
    """The same network from other random weights."""
    c.model.encoder = initialised(c.model.encoder, init)
    c.model.decoder = initialised(c.model.decoder, init)
    return c


def _with(c, layers) -> ml_collections.ConfigDict:
    c.model.encoder, c.model.decoder = layers["encoder"], layers["decoder"]
    c.model.residual = False
    return c


def initial(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """An encoder to start a classifier from, that of configs/code_classifier.py."""
    shape, c.model.base = c.model.input_shape, "none"
    if c.data.source in ("mnist", "digits"):
        c = flat(c)
        return _with(c, dense((values_of(c), 256, 128, 64), "relu", "tanh", "relu"))
    widths = (16, 32, 64) if c.task.input.kind == "log_mel" else (32, 64)
    return _with(c, convolutions(shape, widths, 64, "identity"))


def greedy(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A run for each layer, from the input on."""
    c.model.base = "none"
    kinds = [layer["kind"] for layer in c.model.encoder]
    count = sum(kind in ("dense", "conv", "transposed_conv") for kind in kinds)
    c.parts = {"layer1": dict(task=dict(depth=1))}
    for depth in range(2, count + 1):
        below = dict(weights=f"{{parts}}/layer{depth - 1}")
        c.parts[f"layer{depth}"] = dict(task=dict(depth=depth), encoder=below)
    return c


def demo(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The digits in a plane."""
    return deep(digits(c))


def smoke(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Three steps."""
    c = digits(c)
    c = _with(c, dense((64, 8, 2), "relu", "tanh"))
    c.data.batch_size, c.data.held_out = 16, 0.02
    c.train.steps, c.train.log_every, c.train.evaluate_every_epochs = 3, 1, 1.0
    c.train.checkpoint_every = 2
    return c


def sweep():
    """What regularises, by how much, on the slides' MNIST: `--sweep_index=N`."""
    for share in (0.1, 0.25, 0.5):
        yield {
            "task.noise.kind": "masking",
            "task.noise.share": share,
            "task.noise.fill": -1.0,
        }
    wide = dense((784, 1568), "sigmoid", "tanh", "sigmoid")
    for rho in (0.01, 0.05, 0.2):
        yield {
            "task.sparsity": dict(kind="kl", weight=0.01, rho=rho, active=0.5),
            "model.encoder": wide["encoder"],
            "model.decoder": wide["decoder"],
        }
    narrow = dense((784, 392), "sigmoid", "tanh", "sigmoid")
    for weight in (1e-3, 1e-2, 1e-1):
        yield {
            "task.contractive": dict(weight=weight, method="auto"),
            "model.encoder": narrow["encoder"],
            "model.decoder": narrow["decoder"],
        }
    for factor in (1e-6, 1e-5, 1e-4):
        yield {"task.l2": factor}
    variational = dense((784, 400, 20), "relu", "identity")
    coded = dense((784, 400, 40), "relu", "identity")
    for beta in (0.25, 1.0, 4.0):
        yield {
            "model.code": "gaussian",
            "model.encoder": coded["encoder"],
            "model.decoder": variational["decoder"],
            "task.likelihood": "bernoulli",
            "task.input.scale": 1 / 255,
            "task.input.offset": 0.0,
            "task.beta": beta,
        }
    for code in (2, 3, 12, 32):
        layers = dense((784, 128, 64, max(12, code), code), "relu", "tanh")
        yield {
            "model.encoder": layers["encoder"],
            "model.decoder": layers["decoder"],
        }
