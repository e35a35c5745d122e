"""Autoencoders, a lecture (Neural Networks and Deep Learning), as experiments.

    python -m launch.reproduce --paper=004 --sheet=compression
    python -m launch.reproduce --paper=004 --sheet=compression,plane,denoising \
        --workdir=runs/paper004 --fsdd=FSDD/recordings --har=sets/sp_sw_har
    python -m launch.reproduce --paper=004 --sheet=anomaly --scale=small \
        --motors=bldc_motor_audio/dataset

The slides print no numbers, so nothing stands beside ours: tables show what each system
comes to beside the simplest thing that does the same. Digits are scikit-learn's, in
MNIST's place; sounds, wrists and machines are those that flags give, and SIMULATED
without. Networks are variants of configs/autoencoder.py, gan.py and segmentation.py.

What the slides leave open or print wrongly:
  * no data set but MNIST, no optimizer, length, batch, noise or penalty has a value;
  * the printed KL divergence reads sigma as a variance and has the wrong sign: see
    sigjax/losses/variational.py; the norm of the squared error lacks its square.
"""

from configs.networks.stacks import convolutions, dense, spectrogram
from configs.papers import generation_004, sheets_004
from configs.papers.scales_004 import SCALES

OPEN = (
    "the slides print no numbers, and neither optimizer, length, batch, noise nor"
    " penalties; what stands for them here is said in configs/autoencoder.py and"
    " configs/papers/p004.py"
)


# Chosen on training speakers, one of them held out; on training digits, a fifth.
_DEEP = {
    "optim.learning_rate": 5e-3,
    "optim.schedule": "cosine",
    "optim.warmup_epochs": 1.0,
    "train.epochs": 150.0,
}


def net(layers):
    """Overrides that put a network in."""
    return {f"model.{half}": layers[half] for half in ("encoder", "decoder")}


def deep_of(code, base):
    """Digits by a dense network, like the slides' first but for its last widths.

    With their 12 before the code nothing wider than 12 numbers gets through.
    """
    layers = dense((64, 128, 64, 32, code), "relu", "identity")
    decay = 0.5 if base == "principal" else 0.0
    more = {"model.base": base, "optim.weight_decay": decay}
    return _DEEP | net(layers) | more


def sounds_of(code, base, epochs):
    """Log-mels by convolutions; on components they need no long training."""
    layers = spectrogram((64, 64, 1), code)
    return net(layers) | {"model.base": base, "train.epochs": epochs}


def compression():
    """Reconstruction of what was held out, at equal code size."""

    def row(data, code, model, config, **more):
        return dict(
            labels=(data, str(code), model),
            line=model,
            x=float(code),
            data=data,
            config=f"autoencoder:{config}",
            against="" if model == "PCA" else f"{data} {code} PCA",
            **more,
        )

    rows = []
    for code in (3, 8, 16):
        shape = (8, 8, 1)
        pca = dict(method="pca", settings=dict(code=code))
        tied = deep_of(code, "mean") | {"model.decoder": ()}
        rows += [
            row("digits", code, "PCA", "digits", **pca),
            row(
                *("digits", code, "linear", "digits+linear"),
                overrides=net(dense((64, code), "identity", "identity")),
            ),
            row(*("digits", code, "deep", "digits"), overrides=deep_of(code, "mean")),
            row(
                *("digits", code, "deep, tied", "digits+tied"),
                overrides=tied | {"model.decoder_activation": "identity"},
            ),
            row(
                *("digits", code, "deep, on components", "digits"),
                overrides=deep_of(code, "principal"),
            ),
            row(
                *("digits", code, "convolutions", "digits+conv"),
                overrides=net(convolutions(shape, (16, 32), code, "tanh")),
            ),
        ]
    for code in (16, 64):
        pca = dict(method="pca", settings=dict(code=code))
        rows += [
            row("sounds", code, "PCA", "fsdd", **pca),
            row(
                *("sounds", code, "convolutions", "fsdd"),
                overrides=sounds_of(code, "mean", 20.0),
            ),
            row(
                *("sounds", code, "convolutions, on components", "fsdd"),
                overrides=sounds_of(code, "principal", 6.0),
            ),
        ]
    over = row("digits", 128, "overcomplete", "digits+overcomplete")
    rows.append(over | dict(against="", x=None))
    return dict(
        key="compression",
        title="Does an autoencoder compress better than PCA?",
        deck="autoencoders for compression; comparison with PCA; tied weights; going"
        " deeper; convolutional autoencoders",
        columns=("data", "numbers in the code", "model"),
        rows=rows,
        measure="compression",
        settings=dict(log_x=True, shown_x=16.0),
        metrics=dict(
            unexplained=dict(
                name="variance missed, %", digits=1, better="low", factor=100
            ),
            error=dict(name="mean squared error", digits=4, better="low"),
            parameters=dict(name="parameters", digits=0),
        ),
        figure="curves+images",
        x="numbers in the code",
        notes=(
            "PCA is what a linear autoencoder can reach; 128 numbers for 64 values need"
            " no compression at all",
            "on components: the network's code and reconstruction are added to those of"
            " as many principal components of the training examples (model.base);"
            " others but those that end in tanh are given deviations from their mean",
        ),
    )


def plane():
    """Neighbours in two dimensions."""

    def row(data, model, config, **more):
        return dict(
            labels=(data, model), data=data, config=f"autoencoder:{config}", **more
        )

    rows = [
        row("digits", "PCA", "digits", method="pca", settings=dict(code=2)),
        row("digits", "deep autoencoder", "digits+deep", against="digits PCA"),
        row(
            *("digits", "convolutional autoencoder", "digits+conv"),
            overrides=net(convolutions((8, 8, 1), (16, 32), 2, "tanh")),
            against="digits PCA",
        ),
        row("digits", "all 64 values", "digits", method="input"),
        row("sounds", "PCA", "fsdd", method="pca", settings=dict(code=2)),
        row(
            *("sounds", "convolutional autoencoder", "fsdd"),
            overrides=sounds_of(2, "principal", 20.0),
            against="sounds PCA",
        ),
        row("sounds", "all 4,096 values", "fsdd", method="input"),
    ]
    return dict(
        key="plane",
        title="Are neighbours in the plane of one class, which no method has seen?",
        deck="document retrieval: final 2-D embeddings beside PCA",
        columns=("data", "coordinates"),
        rows=rows,
        measure="plane",
        settings=dict(neighbours=10),
        metrics=dict(
            purity=dict(
                name="neighbours of the same class, %",
                digits=1,
                better="high",
                factor=100,
            ),
            chance=dict(name="by chance, %", digits=1, factor=100),
        ),
        figure="clouds",
        notes=(
            "share of the 10 nearest that are of a point's class; of sounds, neighbours"
            " by the same speaker do not count",
        ),
    )


SHEETS = (
    compression(),
    plane(),
    *sheets_004.sheets(net),
    *generation_004.sheets(net),
)

PAPER = dict(
    study="autoencoders",
    key="004",
    title="Autoencoders (a lecture of Neural Networks and Deep Learning)",
    data="MNIST and pictures; no experiment is described, no number printed",
    open=OPEN,
    scales=SCALES,
    protocols=(
        dict(
            key="held_out",
            says="networks and methods see training examples alone, and choose by them;"
            " numbers are of people, speakers, recordings or rows that were held out",
        ),
    ),
    sheets=SHEETS,
)
