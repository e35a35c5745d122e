"""Anomalies in rows and windows, found by an autoencoder, in scikit-learn's manner.

  detector = AutoencoderDetector(kind="conv", false_alarm_rate=0.01).fit(normal)
  detector.predict(new)            # -1 anomaly, 1 normal
  detector.decision_function(new)  # below 0: anomaly

There is no share of anomalies to guess. A part of the normal examples is kept from
training, and the threshold is the one that a new normal example exceeds with at most
the probability that was asked for, whatever the distribution of scores (split conformal
prediction, `sigjax.evals.thresholds.conformal`). That holds on average over draws of
the held-out examples, if they are as exchangeable with the new ones as with each other.
Rows that were drawn one by one are. Windows are not: those of one recording are alike,
and a new recording is another machine, load or day. What is assumed of windows is that
*recordings* are exchangeable, so give `groups`: whole recordings are held out, and the
promise is of windows of a new recording, looser the fewer there are (`threshold_`
says by how much). Twenty and more are wanted; `calibrate` takes them too.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from sigjax.config import ConfigError, build
from sigjax.evals import thresholds
from sigjax.evals.thresholds import Threshold, ThresholdError
from sigjax.inference import autoencoder_training as training
from sigjax.inference.base import FORMAT, BundleError
from sigjax.inference.example_arrays import check_finite, checked_examples
from sigjax.inference.sounds import bundle
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.models.autoencoder_layouts import Kind, Latent, autoencoder_of
from sigjax.nn.stack import Activation
from sigjax.signal.corruption import CorruptionConfig
from sigjax.tasks.reconstruction import ReconstructionConfig
from sigjax.train.optim import OptimConfig
from sigjax.version import VERSION

_WIDTHS: Mapping[str, tuple[int, ...]] = {"dense": (64, 32), "conv": (16, 32)}
_CODE = 8


class AutoencoderDetector(OutlierMixin, BaseEstimator):
    """An autoencoder of normal examples; what it cannot reconstruct is an anomaly.

    Examples are rows `[n, d]` or windows `[n, s, c]` (also `[n, t, f, c]`), of any
    numeric type. Every feature of rows, and every channel of windows, is brought to
    mean 0 and standard deviation 1 of the training examples; one that never changes
    there is left in its own units. A score is the mean squared error of that.

    As in scikit-learn, larger is more normal: `score_samples` is the negative anomaly
    score, `decision_function` is it less `offset_`, `predict` is 1 or -1. Parameters
    are plain values, so `clone`, `get_params`, `set_params` and searches work.

    Args:
      kind: `"dense"` layers, or `"conv"`: convolutions along the axes of windows.
      widths: Of the encoder's hidden layers, the decoder has them in reverse; None for
        64 and 32, or 16 and 32 channels. They have batch norm.
      code: Values of the code; None for a quarter of the example's, at most 8.
      latent: `"gaussian"` for a variational autoencoder. Its score is the negative
        evidence lower bound, in nats, of a Gaussian likelihood whose standard deviation
        is learned (Rybkin et al. 2021).
      noise: Standard deviation of noise that training adds and the network undoes
        (denoising), in those of the values; 0 for none.
      activation: Of hidden layers.
      network: In place of all five above: any autoencoder of examples' shape.
      epochs: Passes over the training examples, of Adam with a cosine schedule.
      batch_size: Examples in a step.
      learning_rate: In the beginning.
      held_out: Share of the examples that the threshold is made of, in [0, 1); 0 leaves
        it to `calibrate`.
      false_alarm_rate: Probability that a normal example is called an anomaly, at most.
      random_state: Of weights, order, noise and the held-out share.

    Attributes:
      threshold_: `Threshold` of the anomaly score; `at_most`, and with groups
        `remark`, say what it promises. Missing until it is calibrated.
      offset_: `-threshold_.value`.
      held_out_: Int `[m]`, rows that were held out.
      loss_curve_: Float32 `[epochs]`, mean training loss.
      mean_, scale_: Float64 of an example's feature or channel.
      network_: The architecture.
      variables_: `params` and `batch_stats`.
      input_shape_: Of an example.
      n_features_in_: Its last axis.
    """

    def __init__(
        self,
        *,
        kind: Kind = "dense",
        widths: tuple[int, ...] | None = None,
        code: int | None = None,
        latent: Latent = "plain",
        noise: float = 0.0,
        activation: Activation = "relu",
        network: AutoencoderConfig | None = None,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        held_out: float = 0.2,
        false_alarm_rate: float = 0.05,
        random_state: Any = 0,
    ):
        """Keeps the parameters; `fit` checks them."""
        self.kind: Kind = kind
        self.widths = widths
        self.code = code
        self.latent: Latent = latent
        self.noise = noise
        self.activation: Activation = activation
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.held_out = held_out
        self.false_alarm_rate = false_alarm_rate
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any = None, *, groups: Any = None
    ) -> "AutoencoderDetector":
        """Trains on normal examples, and sets the threshold on those held out.

        Args:
          X: `[n, d]` or `[n, s, c]`, normal examples.
          y: Not looked at.
          groups: `[n]`, what stays together (recording, machine, day): whole groups are
            held out. The promise is then of new groups, and the fewer the looser. That
            groups are exchangeable is all that is assumed.

        Raises:
          ValueError: Values are missing or of a wrong shape, or a parameter is.
          ThresholdError: Too few examples would be held out for the false-alarm rate.
        """
        del y
        x = checked_examples(X)
        rng = np.random.default_rng(
            check_random_state(self.random_state).randint(2**31)
        )
        held = self._divide(len(x), groups, rng)
        kept = np.setdiff1d(np.arange(len(x)), held)
        if len(kept) < 2:
            raise ValueError(
                f"{len(kept)} examples to train on: there must be 2 or more"
            )
        shape = x.shape[1:]
        axes = tuple(range(x.ndim - 1))
        used = x[kept].astype(np.float64)
        self.mean_ = used.mean(axis=axes)
        spread = used.std(axis=axes)
        self.scale_ = np.where(spread > 1e-12 * np.abs(self.mean_), spread, 1.0)
        self.input_shape_, self.n_features_in_ = shape, shape[-1]
        self.network_ = self._network(shape)
        found = training.train(
            self._settings(len(kept)),
            ((used - self.mean_) / self.scale_).astype(np.float32),
            epochs=self.epochs,
            seed=int(rng.integers(2**31)),
        )
        self.variables_, self.loss_curve_ = found.variables, found.loss
        self.held_out_ = held
        for name in ("threshold_", "offset_"):
            self.__dict__.pop(name, None)
        if not len(held):
            return self
        own = None if groups is None else np.asarray(groups)[held]
        return self.calibrate(x[held], groups=own)

    def calibrate(
        self, X: Any, *, groups: Any = None, false_alarm_rate: float | None = None
    ) -> "AutoencoderDetector":
        """Sets the threshold anew, on normal examples that were not trained on.

        Args:
          X: As those of `fit`.
          groups: `[n]`, as those of `fit`; each example alone by default.
          false_alarm_rate: In place of the detector's own.

        Raises:
          ThresholdError: They are too few for the rate; says how many it needs.
        """
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        score = self.anomaly_score(X)
        self.threshold_ = thresholds.conformal(score, rate, group=groups)
        self.offset_ = -self.threshold_.value
        return self

    def anomaly_score(self, X: Any) -> np.ndarray:
        """How ill each example is reconstructed: float64 `[n]`, higher is odder.

        An example whose values are finite, but beyond what float32 holds, has infinity.

        Raises:
          NotFittedError: `fit` was not called.
          ValueError: Values are missing or of another shape than those of `fit`.
        """
        self._check_fitted()
        x = checked_examples(X, self.input_shape_, finite=False)
        settings = self._settings()
        given = (self.variables_, self.mean_, self.scale_)
        score = training.score(settings, *given, x).astype(np.float64)
        if not np.isfinite(score).all():
            check_finite(x)
            score = np.where(np.isnan(score), np.inf, score)
        return score

    def score_samples(self, X: Any) -> np.ndarray:
        """The negative of `anomaly_score`, `[n]`: higher is more normal."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` less `offset_`, `[n]`: below 0 is an anomaly.

        Raises:
          NotFittedError: Nothing was held out and `calibrate` was not called.
        """
        score = self.score_samples(X)
        if not hasattr(self, "offset_"):
            raise NotFittedError(
                "there is no threshold: held_out was 0. Call"
                " calibrate(normal_examples), which were not trained on"
            )
        return score - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Int `[n]`: 1 normal, -1 anomaly."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def contributions(self, X: Any) -> np.ndarray:
        """Where an example is odd: squared errors of its values, float32 `[n, ...]`.

        In squares of the training values' standard deviations. Their mean over an
        example is its score, unless the code is Gaussian.
        """
        self._check_fitted()
        x = checked_examples(X, self.input_shape_)
        given = (self.variables_, self.mean_, self.scale_)
        return training.squared_errors(self._settings(), *given, x)

    def save(self, path: epath.PathLike) -> None:
        """Writes a bundle that `sigjax.load` reads, replacing one that is there.

        Raises:
          NotFittedError: There is nothing to save.
          BundleError: It cannot be written.
        """
        self._check_fitted()
        parameters = self.get_params(deep=False)
        parameters["network"] = None  # it stands for itself
        if not isinstance(self.random_state, int | None):
            parameters["random_state"] = None
        threshold = getattr(self, "threshold_", None)
        info = {
            "format": FORMAT,
            "model": "autoencoder_detector",
            "sigjax_version": VERSION,
            "model_config": dataclasses.asdict(self.network_),
            "detector": parameters,
            "threshold": threshold and threshold.as_dict(),
        }
        arrays = {
            "mean": self.mean_,
            "scale": self.scale_,
            "held_out": self.held_out_,
            "loss_curve": self.loss_curve_,
        }
        bundle.write(path, info, jax.device_get(self.variables_), arrays)

    @classmethod
    def read(
        cls, path: epath.PathLike, info: Mapping[str, Any]
    ) -> "AutoencoderDetector":
        """What `save` wrote; `sigjax.load` calls it.

        Args:
          path: The bundle.
          info: Its `bundle.json`.

        Raises:
          BundleError: Naming the part that is missing or damaged.
        """
        variables, arrays = bundle.read(path)
        try:
            given = dict(info["detector"])
            if given["widths"] is not None:
                given["widths"] = tuple(given["widths"])
            made = cls(**given)
            made.network_ = build(
                AutoencoderConfig, info["model_config"], path="model_config"
            )
            made.mean_, made.scale_ = arrays["mean"], arrays["scale"]
            made.held_out_, made.loss_curve_ = arrays["held_out"], arrays["loss_curve"]
            if info["threshold"] is not None:
                made.threshold_ = Threshold.from_dict(info["threshold"])
                made.offset_ = -made.threshold_.value
        except (KeyError, TypeError, ConfigError, ThresholdError) as error:
            what = "lacks" if isinstance(error, KeyError) else "is damaged:"
            raise BundleError(f"the bundle {path} {what} {error}") from error
        made.variables_ = jax.device_put(variables)
        made.input_shape_ = made.network_.input_shape
        made.n_features_in_ = made.input_shape_[-1]
        return made

    def _check_fitted(self) -> None:
        if not hasattr(self, "variables_"):
            raise NotFittedError(
                "this AutoencoderDetector is not fitted: call fit(normal_examples)"
            )

    def _network(self, shape: tuple[int, ...]) -> AutoencoderConfig:
        if self.network is not None:
            if self.network.input_shape != shape:
                raise ValueError(
                    f"network takes examples of {self.network.input_shape}, these are"
                    f" of {shape}"
                )
            if self.network.base != "none":
                raise ValueError("values are standardised here: network.base is 'none'")
            return self.network
        if self.kind not in _WIDTHS:
            raise ValueError(f"kind is 'dense' or 'conv', got {self.kind!r}")
        code = self.code
        if code is None:
            code = min(_CODE, max(1, math.prod(shape) // 4))
        return autoencoder_of(
            self.kind,
            shape,
            widths=tuple(_WIDTHS[self.kind] if self.widths is None else self.widths),
            code=code,
            latent=self.latent,
            activation=self.activation,
        )

    def _settings(self, rows: int = 1) -> training.Settings:
        """What is compiled; for scores it is one for any number of rows."""
        if min(self.epochs, self.batch_size) < 1 or self.noise < 0:
            raise ValueError(
                "epochs and batch_size must be at least 1 and noise 0, got"
                f" {self.epochs}, {self.batch_size} and {self.noise}"
            )
        gaussian = self.network_.code == "gaussian"
        noise = CorruptionConfig()
        if self.noise:
            noise = CorruptionConfig(kind="gaussian", sd=self.noise)
        return training.Settings(
            model=self.network_,
            task=ReconstructionConfig(
                likelihood="gaussian" if gaussian else "mse",
                learn_scale=gaussian,
                noise=noise,
            ),
            optim=OptimConfig(
                name="adamw",
                learning_rate=self.learning_rate,
                schedule="cosine",
                warmup_epochs=0.0,
                clip_norm=None,
            ),
            batch=min(self.batch_size, rows),
        )

    def _divide(self, rows: int, groups: Any, rng: np.random.Generator) -> np.ndarray:
        """Numbers of the rows to hold out, rising."""
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is a share in [0, 1), got {self.held_out}")
        own = np.arange(rows) if groups is None else np.asarray(groups)
        if own.shape != (rows,):
            raise ValueError(f"groups: {own.shape} for {rows} examples")
        if not self.held_out:
            return np.zeros(0, np.int64)
        names, member = np.unique(own, return_inverse=True)
        order = rng.permutation(len(names))
        reached = np.cumsum(np.bincount(member)[order]) >= round(self.held_out * rows)
        several = order[: min(int(reached.argmax()) + 1, len(names) - 1)]
        held = np.flatnonzero(np.isin(member, several))
        rate = self.false_alarm_rate
        if not 0 < rate < 1:
            raise ThresholdError(f"false_alarm_rate is in (0, 1), got {rate}")
        needed = math.ceil(1 / rate - 1e-9) - 1
        if len(held) < needed:
            raise ThresholdError(
                f"false_alarm_rate={rate:g} needs {needed:,} held-out examples;"
                f" held_out={self.held_out:g} of {rows:,} leaves {len(held):,}. Give"
                f" {math.ceil(needed / self.held_out):,} examples, ask for"
                f" {1 / (len(held) + 1):.2g} or more, or set held_out=0 and call"
                " calibrate"
            )
        return held
