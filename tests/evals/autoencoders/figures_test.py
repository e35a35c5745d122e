"""Figures: whole files, looks that can be told apart, zeros on logarithmic axes."""

import matplotlib.image
import numpy as np
import pytest

from sigjax.evals.autoencoders import figures, pictures
from sigjax.evals.autoencoders.figures import Bar, Panel, Spot


def drawn(path):
    image = matplotlib.image.imread(path)
    assert image.ndim == 3 and image[..., :3].std() > 0.01  # Not blank.
    return image.shape


def test_sixteen_names_look_different():
    found = figures.looks([str(n) for n in range(16)])
    assert len({(look["color"], look["marker"]) for look in found.values()}) == 16


def test_curves_have_a_panel_each_and_zero_stands_left_of_a_logarithmic_axis(tmp_path):
    line = [Spot(0.0, 1.0, 0.9, 1.1), Spot(0.01, 2.0), Spot(1.0, None)]
    panel = Panel("t", "x", "y", {"a": line}, log_x=True, level={"aim": 1.5})
    assert 0 < figures._placed(0.0, panel) < 0.01 == figures._placed(0.01, panel)
    path = tmp_path / "a.png"
    figures.curves(path, [panel], title="T", note="SIMULATED")
    height, one, _ = drawn(path)
    figures.curves(path, [panel, panel], title="T")
    assert drawn(path)[0] == height and drawn(path)[1] > 1.5 * one


def test_lines_look_as_in_another_figure(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(figures, "save", lambda figure, path: kept.append(figure))
    panel = Panel("t", "x", "y", {"b": [Spot(1.0, 0.5)]})
    for names in ((), ("a", "b")):
        figures.curves(tmp_path / "a.png", [panel], title="T", names=names)
    alone, second = (figure.axes[0].lines[0].get_color() for figure in kept)
    look = figures.looks(["a", "b"])
    assert (alone, second) == (look["a"]["color"], look["b"]["color"])


def test_a_legend_is_not_wider_than_its_figure(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(figures, "save", lambda figure, path: kept.append(figure))
    for length in (3, 30, 60):
        lines = {f"{n} ".ljust(length, "e"): [Spot(1.0, 0.5)] for n in range(5)}
        figures.curves(tmp_path / "a.png", [Panel("t", "x", "y", lines)], title="T")
        figure = kept[-1]
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, length
    assert [figure.legends[0]._ncols for figure in kept] == [3, 2, 1]


@pytest.mark.parametrize("log_x", [False, True])
def test_intervals_of_one_place_stand_side_by_side(tmp_path, monkeypatch, log_x):
    kept = []
    monkeypatch.setattr(figures, "save", lambda figure, path: kept.append(figure))

    def places(low, high):
        spots = [Spot(1.0, 0.5, low, high), Spot(10.0, 0.7, low, high)]
        panel = Panel("t", "x", "y", {"a": spots, "b": spots}, log_x=log_x)
        figures.curves(tmp_path / "a.png", [panel], title="T")
        axes = kept[-1].axes[0]
        lines = [line for line in axes.lines if len(line.get_xdata())]
        ends = [line.get_transform().transform(line.get_xydata()) for line in lines]
        assert axes.get_xlim()[0] < 1 and axes.get_xlim()[1] > 10
        return [end[0, 0] / kept[-1].dpi * 72 for end in ends]

    one, *bars, other, third, fourth = places(0.4, 0.8)
    assert bars[0] == pytest.approx(one) and third == pytest.approx(other)
    assert other - one == pytest.approx(figures._APART_POINTS)
    assert fourth > other  # The second place's.
    one, other = places(None, None)
    assert one == pytest.approx(other)


def test_dots_take_missing_values_and_grow_with_rows(tmp_path):
    bars = [
        Bar("a", 1.0, 0.5, 1.5, (0.9, 1.1)),
        Bar("b", None),
        Bar("c", 2.0, bar=True),
    ]
    path = tmp_path / "a.png"
    figures.dots(path, {"m": bars}, title="T", level={"chance": 0.5})
    height = drawn(path)[0]
    figures.dots(path, {"m": bars * 3}, title="T")
    assert drawn(path)[0] > height


def test_common_limits_of_clouds_hold_all_points_and_marks(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: kept.append(figure))
    near, far = np.zeros((3, 2)), np.array([[4.0, -1.0]])
    panels = [
        pictures.Cloud("collapsed", near, None, far),
        pictures.Cloud("diverged", np.array([[-2.0, 1.0], [np.nan, np.inf]])),
    ]
    pictures.clouds(tmp_path / "a.png", panels, title="T", shared=True)
    for axes in kept[0].axes[:2]:
        for low, high in (axes.get_xlim(), axes.get_ylim()):
            assert low < -2 and high > 4


def test_pictures_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.png"
    rows = [pictures.Strip("digits", rng.random((4, 8, 8)))]
    pictures.strips(path, rows, title="T")
    height = drawn(path)[0]
    pictures.strips(path, rows * 3, title="T", sound=True, axes_note="time")
    assert drawn(path)[0] > height
    points = rng.normal(size=(50, 2))
    cloud = pictures.Cloud("c", points, rng.integers(3, size=50), points[:2])
    pictures.clouds(path, [cloud] * 4, ["a", "b", "c"], title="T", legend="classes")
    drawn(path)
    field = pictures.Field("f", points, 0.5 * points)
    pictures.fields(path, [field, field], points, title="T")
    drawn(path)
    waves = [pictures.Wave(name, rng.normal(size=40)) for name in ("clean", "noisy")]
    pictures.waves(path, {"wrist": (30.0, "g", waves)}, title="T", note="N")
    drawn(path)


@pytest.mark.parametrize("lines", ["", "one", "one\ntwo"])
def test_a_note_may_have_any_number_of_lines(tmp_path, lines):
    line = {"a": [Spot(1.0, 1.0), Spot(2.0, 1.5)]}
    figures.curves(
        tmp_path / "a.png", [Panel("", "x", "y", line)], title="T", note=lines
    )
    drawn(tmp_path / "a.png")
