import matplotlib.image
import numpy as np
import pytest

from sigjax.evals import embedding_figures as figures

CLASSES = ("cycling", "sitting", "$leep", "walking")


def _labels(counts, missing=50):
    label = np.concatenate([np.repeat(np.arange(len(counts)), counts)])
    label = np.concatenate([label, np.full(missing, -1)])
    return np.random.default_rng(0).permutation(label)


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        ([1000, 1000, 1000, 1000], 400, [100, 100, 100, 100]),
        ([1000, 10, 1000, 40], 400, [175, 10, 175, 40]),
        ([1000, 0, 1000, 3], 9, [3, 0, 3, 3]),
        ([5, 6, 7, 8], 400, [5, 6, 7, 8]),
        ([100, 100, 100, 100], 3, [0, 1, 1, 1]),
    ],
)
def test_rare_classes_are_drawn_whole_and_the_others_alike(counts, most, expected):
    label = _labels(counts)
    rows = figures.balanced_rows(label, most, 0)
    assert (np.diff(rows) > 0).all() and len(rows) <= most
    drawn = np.bincount(label[rows], minlength=4)
    assert np.sort(drawn).tolist() == np.sort(expected).tolist()
    assert np.abs(drawn - expected).max() <= 1
    np.testing.assert_array_equal(rows, figures.balanced_rows(label, most, 0))


def test_another_seed_draws_others():
    label = _labels([100, 100])
    some, others = (figures.balanced_rows(label, 40, seed) for seed in (0, 1))
    assert set(some) != set(others)


def test_first_components_hold_their_share_of_the_variance():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    x = rng.normal(size=(4000, 6)) * [6, 3, 1, 1, 1, 1] @ turn
    flat, share = figures._pca(x.astype(np.float32))
    np.testing.assert_allclose(share, [36 / 49, 9 / 49], atol=0.03)
    np.testing.assert_allclose(flat.var(axis=0), [36, 9], rtol=0.1)


def _drawn(path):
    image = matplotlib.image.imread(path)[..., :3]
    return image, image.std()


def _colours(path):
    """Which of the figure's colours are in it, as far as they are not blended."""
    image = (_drawn(path)[0] * 255).round().astype(int).reshape(-1, 3)
    there = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(image, axis=0)}
    return [colour in there for colour in figures.COLOURS]


def test_pca_alone_is_drawn_with_a_colour_for_each_class(tmp_path):
    label = _labels([30, 40, 0, 20])
    x = np.random.default_rng(0).normal(size=(len(label), 5)) + 4 * label[:, None]
    path = tmp_path / "a.png"
    figures.projections(path, x, label, CLASSES, title="a $title", umap=False, most=60)
    assert _drawn(path)[1] > 0.05
    assert _colours(path)[:4] == [True, True, False, True]


@pytest.mark.survival
def test_pca_and_umap_are_drawn_side_by_side(tmp_path):
    label = _labels([12, 12, 12], missing=3)
    x = np.random.default_rng(0).normal(size=(len(label), 5)) + 4 * label[:, None]
    figures.projections(tmp_path / "one.png", x, label, CLASSES, title="t", umap=False)
    figures.projections(tmp_path / "two.png", x, label, CLASSES, title="t")
    one, two = (_drawn(tmp_path / f"{name}.png")[0] for name in ("one", "two"))
    assert two.shape[1] > 1.9 * one.shape[1]
    right = two[:, two.shape[1] // 2 :]
    assert right.std() > 0.05


@pytest.mark.parametrize("width", [1, 3])
def test_embeddings_that_are_all_the_same_are_no_error(tmp_path, width):
    label = np.array([0, 1, 2, 3, 0])
    path = tmp_path / "a.png"
    figures.projections(
        path, np.ones((5, width)), label, CLASSES, title="t", umap=False
    )
    assert path.exists()


@pytest.mark.parametrize(
    ("x", "label", "message"),
    [
        (np.ones((4, 2)), np.full(4, -1), "0 of 4 rows have labels"),
        (np.full((4, 2), np.nan), np.zeros(4, int), "4 of 4 embeddings"),
        (np.ones((4, 2)), np.zeros(3, int), r"\(4, 2\) and labels \(3,\)"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(tmp_path, x, label, message):
    with pytest.raises(ValueError, match=message):
        figures.projections(tmp_path / "a.png", x, label, CLASSES, title="t")
    assert not (tmp_path / "a.png").exists()
