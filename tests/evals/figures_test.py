import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest

from sigjax.evals import figures
from sigjax.losses.spectral import SpectralLossConfig


@pytest.mark.parametrize(("tokens", "channels"), [(300, 3), (6, 1)])
def test_reconstruction_figure_is_drawn_for_any_size(tmp_path, tokens, channels):
    rng = np.random.default_rng(0)
    masked = round(0.6 * tokens)
    index = np.sort([rng.permutation(tokens)[:masked] for _ in range(2)], axis=1)
    values = channels * 60
    figures.reconstruction(
        tmp_path / "a.png",
        patches=rng.normal(size=(2, tokens, values)).astype(np.float32),
        index=index,
        reconstruction=rng.normal(size=(2, masked, values)).astype(np.float32),
        rate_hz=30.0,
        channels=channels,
        loss=SpectralLossConfig(n_fft=32),
        title="a title",
    )
    image = matplotlib.image.imread(tmp_path / "a.png")
    assert image.shape[0] > 900 and image.shape[1] > 1000
    assert image[..., :3].std() > 0.1  # not an empty page


@pytest.mark.parametrize(("tokens", "unit"), [(5, "s"), (90, "min")])
def test_short_windows_are_told_in_seconds_and_no_patch_twice(
    tmp_path, monkeypatch, tokens, unit
):
    kept = []
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *_, **__: kept.append(self)
    )
    rng, index = np.random.default_rng(0), np.array([[tokens - 3, tokens - 1]])
    figures.reconstruction(
        tmp_path / "a.png",
        patches=rng.normal(size=(1, tokens, 60)).astype(np.float32),
        index=index,
        reconstruction=rng.normal(size=(1, 2, 60)).astype(np.float32),
        rate_hz=30.0,
        channels=1,
        loss=SpectralLossConfig(n_fft=32),
        title="a title",
    )
    length = 2 * tokens / {"s": 1, "min": 60}[unit]
    axes = kept[0].axes
    assert axes[1].images[0].get_extent()[1] == pytest.approx(length)
    assert axes[0].get_xlim()[1] == pytest.approx(length, rel=0.02)
    assert axes[3].get_xlabel() == {"s": "seconds", "min": "minutes"}[unit]
    titles = [a.get_title() for a in axes if a.get_title().startswith("masked")]
    assert len(titles) == 2 and all(title.endswith(unit) for title in titles)


def test_the_liveliest_window_is_chosen():
    calm, lively = np.zeros((4, 90)), np.random.default_rng(0).normal(size=(4, 90))
    patches = np.stack([calm, lively, 0.1 * lively]).astype(np.float32)
    assert int(np.argmax(figures._variation(patches, 3))) == 1
