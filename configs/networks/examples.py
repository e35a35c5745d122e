"""Data of autoencoders, and a network that suits them: variants of their config."""

import math

import ml_collections

from configs.networks.stacks import denoiser, dense, spectrogram


def values_of(c: ml_collections.ConfigDict) -> int:
    """Values of an example, as the model takes it."""
    return math.prod(c.model.input_shape)


def last_of(c: ml_collections.ConfigDict) -> str:
    """The activation that ends the decoder."""
    if c.model.tied:
        return c.model.decoder_activation
    return c.model.decoder[-1].get("activation", "identity")


def flat(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The same data as vectors."""
    c.model.input_shape = (values_of(c),)
    return c


def digits(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """scikit-learn's digits."""
    c.data.source, c.data.path = "digits", ""
    c.data.held_out, c.data.held_out_splits = 0.2, ()
    c.data.batch_size = 64
    c.task.input.scale = 2 / 16
    c.model = dict(
        c.model, input_shape=(64,), **dense((64, 48, 32, 12, 3), "relu", "tanh")
    )
    c.optim.learning_rate = 2e-3
    c.train.epochs, c.train.evaluate_every_epochs = 200.0, 20.0
    c.train.log_every, c.train.checkpoint_every = 100, 1000
    return c


def fsdd(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Log-mels of spoken digits."""
    c.data.source = "clips"
    c.data.rate_hz, c.data.samples, c.data.batch_size = 8000, 5040, 64
    c.task.input = dict(
        kind="log_mel",
        mel=dict(rate_hz=8000, n_fft=512, hop=80, n_mels=64),
        top_db=80.0,
    )
    shape = (64, 64, 1)
    c.model = dict(
        c.model, input_shape=shape, base="principal", **spectrogram(shape, 16)
    )
    c.optim.learning_rate, c.optim.schedule = 2e-3, "cosine"
    # What is left of a log-mel over its components is so little that gradients are
    # about 1e-9 for each weight: less than Adam's usual 1e-8, which would stop them.
    c.optim.warmup_epochs, c.optim.eps = 1.0, 1e-12
    c.train.epochs, c.train.evaluate_every_epochs = 12.0, 4.0
    c.train.log_every, c.train.checkpoint_every = 50, 500
    return c


def wrist(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Windows of a wrist, denoised."""
    c.data.source = "windows"
    c.data.window_s, c.data.stride_s, c.data.batch_size = 2.0, 1.0, 64
    c.data.scheme = "annotation"
    c.data.held_out_splits = ()
    c.data.held_out_groups = ("s01", "s06", "s11", "s16", "s21")
    c.task.input = dict(kind="values", scale=1.0, offset=0.0)
    c.task.noise = dict(kind="snr", snr_db=(-5.0, 20.0), noise="white", centred=True)
    c.task.likelihood = "log_mse"
    shape = (60, 3)
    c.model = dict(c.model, input_shape=shape, residual=True, **denoiser(shape))
    c.optim.learning_rate, c.optim.schedule = 2e-3, "cosine"
    c.train.epochs, c.train.evaluate_every_epochs = 300.0, 30.0
    c.train.log_every, c.train.checkpoint_every = 100, 1000
    return c


def waves(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Sounds as they are, denoised: what goes in as a file comes out as one."""
    c.data.source = "clips"
    c.data.rate_hz, c.data.samples, c.data.batch_size = 8000, 2048, 32
    # To about unit power: 32768 is full scale.
    c.task.input = dict(kind="values", scale=1 / 4096, offset=0.0)
    c.task.noise = dict(kind="snr", snr_db=(-5.0, 20.0), noise="white")
    c.task.likelihood = "log_mse"
    shape = (2048, 1)
    c.model = dict(c.model, input_shape=shape, residual=True, **denoiser(shape))
    c.train.epochs, c.train.evaluate_every_epochs = 10.0, 2.0
    c.train.log_every, c.train.checkpoint_every = 50, 500
    return c
