"""Points of deformable layers, in cells of the spectrogram, and their picture."""

import dataclasses
import types
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.figure
import numpy as np
import pytest

from sigjax.evals.deformation import Deformation, deformations
from sigjax.evals.deformation_figures import draw_points
from sigjax.models.audio_classifier import AudioClassifierConfig
from sigjax.models.dat import DatConfig
from sigjax.signal.fbank import FbankConfig
from sigjax.tasks.audio_events import AudioEvents, AudioEventsConfig

matplotlib.use("agg")
DAT = DatConfig(
    widths=(4,),
    blocks=("D",),
    heads=(2,),
    groups=(2,),
    strides=(2,),
    taps=(3,),
    convention="text",
)
WAVE = np.random.default_rng(0).normal(size=4000).astype(np.float32) / 10


CONFIG = AudioEventsConfig(
    target="single",
    fbank=FbankConfig(n_mels=16),
    window_s=0.25,
    frames=32,
    time_mask=4,
    band_mask=4,
)


def test_points_of_a_network_move_no_further_than_it_says():
    factor = 1.5
    dat = dataclasses.replace(DAT, offset_factor=factor)
    task = AudioEvents(AudioClassifierConfig(heads=(("label", 3),), dat=dat), CONFIG)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32),
        jax.eval_shape(task.init, jax.random.key(0), {}),
    )
    spectrogram, (layer,) = deformations(task, variables, WAVE)
    assert spectrogram.shape == (32, 16)
    assert (layer.stage, layer.block, layer.cell) == (1, 1, 4)
    # Of 4 x 8 cells a grid of half as many, from the first one's centre to the last's.
    centres = [(b, f) for b in (1.5, 13.5) for f in np.linspace(1.5, 29.5, 4)]
    np.testing.assert_allclose(layer.reference, centres, atol=1e-5)
    moved = layer.points - layer.reference
    assert moved.shape == (2, 8, 2)  # Groups, points, band and frame.
    assert np.abs(moved).max() > 0.1 and np.abs(moved).max() <= factor * layer.cell
    assert not np.allclose(moved[0], moved[1])


class Sown:
    """Stands for a task whose network samples half a map further up."""

    model_config = types.SimpleNamespace(dat=DAT)

    def __init__(self, blocks):
        self.model, self._blocks = self, blocks

    def spectrogram(self, variables, wave, valid):
        return jnp.zeros((1, 32, 16)) + valid[:, None, None]

    def apply(self, variables, x, mutable):
        references = jnp.array([[[-1.0, -1.0], [-1.0, 1.0]]])
        points = jnp.stack([references, references + jnp.array([1.0, 0.0])])[None]
        own = {"attention": {"points": (points,), "references": (references,)}}
        plain = {"norm1": {}}
        return None, {
            "intermediates": {
                "backbone": {
                    "map": (x,),
                    **{name: own for name in self._blocks},
                    "stage1_block2": plain,
                }
            }
        }


def test_layers_come_in_order_and_in_cells_of_their_own_maps():
    fake: Any = Sown(("stage3_block1", "stage2_block4", "stage2_block2"))
    spectrogram, layers = deformations(fake, {"params": {}}, WAVE, 7)
    assert spectrogram[0, 0] == 7  # As many real samples as are said.
    assert [(x.stage, x.block) for x in layers] == [(2, 2), (2, 4), (3, 1)]
    # Stage 2 has 2 x 4 cells of 8 x 8, stage 3 a row of 2 of 16 x 16.
    second, third = layers[0], layers[2]
    np.testing.assert_allclose(second.reference, [[3.5, 3.5], [3.5, 27.5]])
    np.testing.assert_allclose(second.points[0], second.reference)
    np.testing.assert_allclose(second.points[1], [[7.5, 3.5], [7.5, 27.5]])
    assert "stage 2, block 2: points move 0.25 cells, at most 0.50" in second.title
    np.testing.assert_allclose(third.points[1], [[7.5, 7.5], [7.5, 23.5]])


def test_networks_without_points_are_told():
    ast: Any = types.SimpleNamespace(model_config=types.SimpleNamespace(dat=None))
    with pytest.raises(ValueError, match="it is an AST"):
        deformations(ast, {}, WAVE)
    fake: Any = Sown(())
    with pytest.raises(ValueError, match="in any block"):
        deformations(fake, {"params": {}}, WAVE)


@pytest.mark.parametrize("group", [None, 1])
def test_a_picture_has_grid_and_points_where_they_are(group):
    reference = np.array([[3.5, 3.5], [3.5, 11.5]])
    points = np.stack([reference + 1, reference - 2])
    found = Deformation(1, 1, 4, reference, points)
    figure = matplotlib.figure.Figure()
    axes = figure.subplots()
    draw_points(axes, np.zeros((20, 8)), found, group=group, duration_s=10.0)
    drawn = [line.get_xydata() for line in axes.lines]
    # Half a second a frame; the centre of a cell lies half a cell from its corner.
    np.testing.assert_allclose(drawn[0], [[2.0, 4.0], [6.0, 4.0]])
    np.testing.assert_allclose(drawn[-1], [[1.0, 2.0], [5.0, 2.0]])
    assert len(drawn) == (3 if group is None else 2)
    assert "points move 0.53 cells, at most 0.71" in axes.get_title()
