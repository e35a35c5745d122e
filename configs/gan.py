r"""Generators and their critics: two networks against each other.

Goodfellow et al. 2014 (arXiv 1406.2661), which the slides "Autoencoders" (paper 004)
end with, DCGAN (Radford et al. 2016, arXiv 1511.06434) and the adversarial autoencoder
that they name (Makhzani et al. 2015, arXiv 1511.05644). Both networks learn in one step
of the one loop, each with an AdamW of its own (`optim.groups`).

  python -m launch.pretrain --config=configs/gan.py --workdir=runs/ring
  python -m launch.pretrain --config=configs/gan.py:digits --workdir=runs/dcgan
  python -m launch.pretrain --config=configs/gan.py:digits+adversarial \
      --workdir=runs/aae
  python -m launch.pretrain --config=configs/gan.py:fsdd --workdir=runs/sounds \
      --config.data.path=fsdd.csv
  python -m launch.export --workdir=runs/dcgan --output=bundles/dcgan
  python -c "import sigjax; print(sigjax.load('bundles/dcgan').sample(16).shape)"

Variants (after a colon; several are joined by +, from left to right: data first):
  points       the same as none: a ring of 8 Gaussians (SIMULATED), on which it is seen
               at a glance whether modes are lost.
  digits       scikit-learn's 8 x 8 digits, a DCGAN.
  mnist        28 x 28, a DCGAN, through TensorFlow Datasets.
  fsdd         log-mels of 0.63 s of spoken digits, 64 x 64; `data.path` is a table of
               launch.build_calls.
  adversarial  an adversarial autoencoder instead, codes of two numbers on a normal
               prior; of log-mels 16.
  spectral     the critic's kernels divided by their largest singular value (Miyato et
               al. 2018), in place of the penalty.
  hinge        the hinge game.
  dcgan        the networks that came before start from DCGAN's normal distributions of
               0.02, in place of PyTorch's (sigjax/nn/initialisation.py). It is no
               default: in one short run on digits PyTorch's learnt faster.
  smoke        a few steps, < 20 s.

The penalty on the critic's gradient (R1, Mescheder et al. 2018) is what keeps all eight
modes: without it (`sweep()`) the rate decides. AdamW with betas of 0.5 and 0.9 at 1e-3
for points, of 0.5 and 0.999 at 2e-4 for images, as DCGAN's Adam.
"""

import ml_collections
from ml_collections.config_dict import placeholder

from configs.networks.stacks import convolutions, dense, initialised


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """A ring of Gaussians, or the variants named by `arg`, one after another."""
    variants = {
        "": lambda c: c,
        "points": lambda c: c,
        "digits": digits,
        "mnist": mnist,
        "fsdd": fsdd,
        "adversarial": adversarial,
        "spectral": spectral,
        "hinge": hinge,
        "dcgan": dcgan,
        "smoke": smoke,
    }
    c = points()
    for name in arg.split("+"):
        if name not in variants:
            known = ", ".join(name for name in variants if name)
            raise ValueError(f"configs/gan.py:{name} is unknown; variants: {known}")
        c = variants[name](c)
    return c


def points() -> ml_collections.ConfigDict:
    """A ring of eight Gaussians."""
    c = ml_collections.ConfigDict()
    c.system = "gan"
    c.seed = 0
    c.task = dict(
        input=dict(
            kind="values", scale=1.0, offset=0.0, mel=placeholder(object), top_db=80.0
        ),
        game="non_saturating",
        r1=0.1,
        r1_every=1,
    )
    c.data = dict(
        source="points",
        path="",
        points=dict(kind="ring", count=8192, modes=8, radius=2.0, sd=0.02, seed=0),
        samples=0,
        rate_hz=0,
        channel=0,
        held_out=0.1,
        held_out_groups=(),
        held_out_splits=(),
        trained_classes=(),
        batch_size=256,
        seed=0,
        workers=0,
        read_threads=2,
        prefetch_batches=4,
    )
    layers = dense((2, 128, 128, 16), "relu", "identity")
    c.model = dict(
        latent=16,
        output_shape=(2,),
        generator=layers["decoder"],
        critic=dense((2, 128, 128, 1), "relu", "identity")["encoder"],
        prior=dict(kind="normal"),
    )
    c.optim = dict(
        name="adamw",
        learning_rate=1e-3,
        schedule="constant",
        warmup_epochs=0.0,
        final_fraction=0.0,
        weight_decay=0.0,
        clip_norm=placeholder(float),
        b1=0.5,
        b2=0.9,
        groups=_groups("^generator/"),
    )
    c.train = dict(
        epochs=1.0,
        steps=8000,
        log_every=200,
        checkpoint_every=2000,
        keep=2,
        evaluate_every_epochs=20.0,
        accumulation=1,
    )
    c.mesh = dict(data=-1, fsdp=1, tensor=1, rules=())
    return c


def _groups(generator: str):
    return (dict(pattern=generator, every=1), dict(pattern="^critic/", every=1))


def _images(c, shape, widths, latent: int, last: str) -> ml_collections.ConfigDict:
    """A DCGAN for maps of a shape."""
    layers = convolutions(shape, widths, latent, last)
    critic = [
        dict(layer, norm="none", activation="leaky_relu", slope=0.2)
        if layer["kind"] == "conv"
        else layer
        for layer in layers["encoder"][:-1]
    ]
    c.model.latent, c.model.output_shape = latent, shape
    c.model.generator = layers["decoder"]
    c.model.critic = (*critic, dict(kind="dense", width=1))
    c.optim.learning_rate, c.optim.b2 = 2e-4, 0.999
    c.task.r1 = 1.0
    c.data.batch_size = 128
    return c


def digits(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """scikit-learn's digits."""
    c.data.source, c.data.held_out = "digits", 0.1
    c.task.input.scale, c.task.input.offset = 2 / 16, -1.0
    c = _images(c, (8, 8, 1), (32, 64), 32, "tanh")
    c.optim.learning_rate = 5e-4
    c.train.steps = 6000
    return c


def mnist(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """MNIST."""
    c.data.source, c.data.held_out, c.data.held_out_splits = "mnist", 0.0, ("test",)
    c.task.input.scale, c.task.input.offset = 2 / 255, -1.0
    c = _images(c, (28, 28, 1), (64, 128), 64, "tanh")
    c.train.steps, c.train.evaluate_every_epochs = 20_000, 5.0
    return c


def fsdd(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Log-mels of spoken digits; silence is 0, the peak 1."""
    c.data.source, c.data.held_out, c.data.held_out_splits = "clips", 0.0, ("test",)
    c.data.rate_hz, c.data.samples = 8000, 5040
    c.task.input = dict(
        kind="log_mel",
        mel=dict(rate_hz=8000, n_fft=512, hop=80, n_mels=64),
        top_db=80.0,
    )
    c = _images(c, (64, 64, 1), (16, 32, 64, 64), 64, "sigmoid")
    c.train.steps, c.train.log_every = 4000, 100
    return c


def adversarial(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """An adversarial autoencoder of the same examples."""
    c.system = "adversarial_autoencoder"
    shape = c.model.output_shape
    last = c.model.generator[-1].get("activation", "identity")
    if len(shape) == 1:
        code, layers = 2, dense((shape[0], 128, 128, 2), "relu", last)
    elif c.data.source == "clips":
        code = 16
        layers = convolutions(shape, (16, 32, 64), code, last)
    else:
        n, code, layers = shape[0] * shape[1], 2, None
        shape = (n,)
        layers = dense((n, 256, 128, code), "relu", last)
    c.model = dict(
        input_shape=shape,
        encoder=layers["encoder"],
        decoder=layers["decoder"],
        critic=dense((code, 64, 64, 1), "relu", "identity")["encoder"],
        prior=dict(kind="normal"),
    )
    c.task.likelihood, c.task.weight, c.task.r1 = "mse", 0.1, 0.1
    c.optim.groups = _groups("^(encoder|decoder)/")
    c.optim.learning_rate, c.optim.b2 = 1e-3, 0.999
    return c


def spectral(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A critic of bounded slope."""
    weighted = ("dense", "conv", "transposed_conv")
    c.model.critic = tuple(
        dict(layer, spectral=True) if layer["kind"] in weighted else layer
        for layer in c.model.critic
    )
    c.task.r1 = 0.0
    return c


def hinge(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Lim and Ye 2017."""
    c.task.game = "hinge"
    return c


def dcgan(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Radford et al. 2016, Sect. 4."""
    for name in ("generator", "encoder", "decoder", "critic"):
        if name in c.model:
            c.model[name] = initialised(c.model[name], "dcgan")
    return c


def smoke(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Three steps."""
    c.data.batch_size = 16
    if c.data.source == "points":
        c.data.points.count = 64
        c.model.latent = 4
        c.model.generator = dense((2, 8, 4), "relu", "identity")["decoder"]
        c.model.critic = dense((2, 8, 1), "relu", "identity")["encoder"]
    c.train.steps, c.train.log_every, c.train.evaluate_every_epochs = 3, 1, 1.0
    c.train.checkpoint_every = 2
    return c


def sweep():
    """What keeps the modes of a ring: `--sweep_index=N`."""
    for r1 in (0.0, 0.01, 0.1, 1.0):
        yield {"task.r1": r1}
    yield {"task.game": "min_max"}
    yield {"task.game": "hinge"}
    for every in (2, 5):
        yield {
            "optim.groups": (
                dict(pattern="^generator/", every=every),
                dict(pattern="^critic/", every=1),
            )
        }
