"""Associations and intervals as a textbook has them; figures are drawn."""

import math

import pytest

from sigjax.evals import paper_figures


def points(lmm, kappa):
    return [
        paper_figures.Point(
            f"{place % 2}",
            {"lmm": x, "mse": 1.0, "kappa": y, "balanced_accuracy": y},
        )
        for place, (x, y) in enumerate(zip(lmm, kappa, strict=True))
    ]


def test_pearsons_r_and_p():
    # Anscombe's first set: r = 0.816, p = 0.00217.
    x = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    found = paper_figures.pearson(points(x, y), "lmm", "kappa")
    assert found.r == pytest.approx(0.81642, abs=1e-5)
    assert found.p == pytest.approx(0.00217, abs=1e-5)
    assert found.points == 11


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [3, 4]), ([1, 1, 1], [1, 2, 3]), ([], [])]
)
def test_pearsons_r_is_undefined_without_spread_or_runs(x, y):
    found = paper_figures.pearson(points(x, y), "lmm", "kappa")
    assert math.isnan(found.r) and math.isnan(found.p) and found.points == len(x)


def test_runs_without_a_figure_are_left_out_of_r():
    found = paper_figures.pearson(
        points([1, 2, math.nan, 3], [1, 2, 9, 3]), "lmm", "kappa"
    )
    assert found.points == 3 and found.r == pytest.approx(1.0)


def test_the_interval_of_three_seeds_is_students():
    # t(0.975, 2) = 4.3027; the mean of 1, 2, 3 has standard error 1 / sqrt(3).
    assert paper_figures.half_width([1, 2, 3]) == pytest.approx(4.3027 / 3**0.5, 1e-4)
    assert math.isnan(paper_figures.half_width([1.0]))


def test_figures_are_drawn_with_one_seed_and_with_missing_numbers(tmp_path):
    path = tmp_path / "losses.png"
    paper_figures.losses_and_scores(
        path, points([1.0, 2.0], [0.5, 0.6]), group_name="w", title="T", note="N"
    )
    assert path.read_bytes()[:4] == b"\x89PNG"
    ours = {"value": 0.5, "low": 0.4, "high": 0.6, "seeds": [0.4, 0.6]}
    alone = {"value": 0.5, "low": None, "high": None, "seeds": [0.5]}
    rows = [("a", {"kappa": ours}, {"kappa": 0.7}), ("b", {"kappa": alone}, {})]
    path = tmp_path / "scores.png"
    paper_figures.scores(path, [*rows, ("c", {}, {})], metrics=("kappa",), title="T")
    assert path.read_bytes()[:4] == b"\x89PNG"
