"""Pictures of what a model does with a signal."""

import jax.numpy as jnp
import matplotlib
import matplotlib.figure
import numpy as np
from etils import epath

from sigjax.losses.spectral import SpectralLossConfig, log_mean_magnitude

# Colour-blind safe (Okabe & Ito); target always dark, model always orange.
_TARGET, _MODEL, _BASELINE = "#222222", "#d55e00", "#56b4e9"
_AXES = ("#0072b2", "#009e73", "#cc79a7")


def reconstruction(
    path: epath.PathLike,
    *,
    patches: np.ndarray,
    index: np.ndarray,
    reconstruction: np.ndarray,
    rate_hz: float,
    channels: int,
    loss: SpectralLossConfig,
    title: str,
) -> None:
    """Draws one window: signal, spectra of target and reconstruction, four patches.

    Of the windows given, the one whose signal varies most is drawn: a night's sleep
    shows nothing.

    Args:
      path: PNG to write.
      patches: Float32 `[e, n, p]`, in g.
      index: Int `[e, m]`, masked positions.
      reconstruction: Float32 `[e, m, p]`.
      rate_hz: Samples per second.
      channels: Channels per patch.
      loss: Decides the spectra's transform.
      title: Line over the figure.
    """
    chosen = int(np.argmax(_variation(patches, channels)))
    patches, index = patches[chosen], index[chosen]
    predicted = reconstruction[chosen]
    target = _spectra(patches, channels, loss)
    model = _spectra(predicted, channels, loss)
    hidden = np.zeros(len(patches), bool)
    hidden[index] = True

    figure = matplotlib.figure.Figure(figsize=(12, 11), layout="constrained")
    figure.suptitle(title, fontsize=13)
    grid = figure.add_gridspec(5, 4, height_ratios=[1.3, 1, 1, 1, 1.5])
    patch_s = patches.shape[-1] / channels / rate_hz
    # Windows of seconds are told in seconds.
    short = len(patches) * patch_s < 120
    unit_s, unit, units = (1.0, "s", "seconds") if short else (60.0, "min", "minutes")
    signal_axes = figure.add_subplot(grid[0, :])
    _draw_signal(signal_axes, patches, hidden, channels, rate_hz * unit_s)
    blank = np.where(hidden[:, None], np.nan, target)
    filled = target.copy()
    filled[index] = model
    rows = (("target", target), ("what the model sees", blank), ("model", filled))
    axes = []
    for row, (name, spectrum) in enumerate(rows):
        ax = figure.add_subplot(grid[row + 1, :], sharex=signal_axes)
        _draw_spectrum(ax, spectrum, target, rate_hz, patch_s / unit_s)
        ax.set_ylabel(f"{name}\nHz")
        axes.append(ax)
    axes[-1].set_xlabel(units)
    figure.colorbar(
        axes[0].images[0], ax=axes, label="log mean magnitude, mean of axes"
    )
    spread = np.unique(np.linspace(0, len(index) - 1, 4).round().astype(int))
    order = np.argsort(target[index].sum(axis=-1))[spread]  # from calm to lively
    visible = target[~hidden].mean(axis=0)
    for column, k in enumerate(order):
        ax = figure.add_subplot(grid[4, column])
        start = index[k] * patch_s / unit_s
        _draw_patch(ax, target[index[k]], model[k], visible, rate_hz)
        ax.set_title(f"masked patch at {start:.1f} {unit}", fontsize=10)
        if column == 0:
            ax.set_ylabel("log mean magnitude")
            ax.legend(fontsize=8, frameon=False)
    with epath.Path(path).open("wb") as file:
        figure.savefig(file, format="png", dpi=110)


def _variation(patches: np.ndarray, channels: int) -> np.ndarray:
    x = patches.reshape(*patches.shape[:-1], channels, -1)
    return x.std(axis=-1).mean(axis=(1, 2))


def _spectra(patches: np.ndarray, channels: int, loss: SpectralLossConfig):
    """`[n, p]` to the log mean magnitude `[n, f]`, averaged over channels."""
    x = jnp.asarray(patches).reshape(len(patches), channels, -1)
    return np.asarray(log_mean_magnitude(x, loss)).mean(axis=1)


def _draw_signal(ax, patches, hidden, channels, per_unit) -> None:
    """The samples, `per_unit` of them in a unit of time."""
    x = patches.reshape(len(patches), channels, -1)
    signal = x.transpose(1, 0, 2).reshape(channels, -1)
    time = np.arange(signal.shape[-1]) / per_unit
    names = "xyz" if channels == 3 else [str(i) for i in range(channels)]
    for values, name, colour in zip(signal, names, _AXES * channels, strict=False):
        ax.plot(time, values, lw=0.5, color=colour, label=name)
    edges = np.linspace(0, time[-1], len(hidden) + 1)
    low, high = signal.min(), signal.max()
    foot = low - 0.08 * (high - low)
    for start, stop in zip(edges[:-1][hidden], edges[1:][hidden], strict=True):
        ax.axvspan(start, stop, ymax=0.05, color=_TARGET, lw=0)
    ax.set_ylim(foot, high)
    ax.set_xlim(0, time[-1])
    ax.set_ylabel("acceleration (g)")
    ax.legend(loc="upper right", fontsize=8, ncols=channels, framealpha=0.9)
    share = 100 * hidden.mean()
    ax.set_title(
        f"signal; black marks below: masked patches ({share:.0f} %)", fontsize=10
    )


def _draw_spectrum(ax, spectrum, reference, rate_hz, patch) -> None:
    """Spectra of patches of a length in units of time."""
    low, high = np.percentile(reference, [1, 99])
    extent = (0, len(spectrum) * patch, 0, rate_hz / 2)
    ax.imshow(
        spectrum.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=low,
        vmax=high,
        cmap="magma",
        interpolation="none",
    )


def _draw_patch(ax, target, model, visible, rate_hz) -> None:
    hertz = np.linspace(0, rate_hz / 2, len(target))
    ax.plot(hertz, visible, color=_BASELINE, lw=1.2, ls="--", label="visible mean")
    ax.plot(hertz, target, color=_TARGET, lw=1.8, label="target")
    ax.plot(hertz, model, color=_MODEL, lw=1.8, label="model")
    ax.set_xlabel("Hz")
