"""Embeddings in two dimensions, coloured by label: PCA beside UMAP.

As in figure 3 of Lorenzen et al. 2025 (arXiv 2502.17477). UMAP is McInnes et al. 2018
(arXiv 1802.03426) with its package's defaults, but started from PCA: that is the same
each time, and needs no connected graph.
"""

import io
import textwrap
import warnings
from collections.abc import Sequence

import matplotlib.figure
import matplotlib.lines
import numpy as np
from etils import epath

from sigjax.train.writer import replace_file

# Colour-blind safe (Okabe & Ito), those alike far apart. Beyond eight, another marker.
COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#222222",
    "#d55e00",
    "#56b4e9",
    "#d9cc3c",
)
_MARKERS = "o^sDvP*X"


def balanced_rows(label: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Draws rows at random, the same number of each class as far as there are any.

    What a rare class leaves free goes to the others, in equal parts. Rows without a
    label (-1) are not drawn.

    Args:
      label: Int `[r]`.
      most: Rows at most.
      seed: Another seed, other rows.

    Returns:
      Int64 `[k]`, ascending, `k <= most`.
    """
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(label[label >= 0], return_counts=True)
    chosen, left = [], most
    # The rarest first: then what it leaves free is known.
    for place, index in enumerate(np.argsort(counts, kind="stable")):
        rows = np.flatnonzero(label == classes[index])
        take = min(len(rows), left // (len(classes) - place))
        chosen.append(rng.choice(rows, take, replace=False))
        left -= take
    return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))


def projections(
    path: epath.PathLike,
    embedding: np.ndarray,
    label: np.ndarray,
    classes: Sequence[str],
    *,
    title: str,
    note: str = "",
    seed: int = 0,
    most: int = 20_000,
    umap: bool = True,
    chosen_from: np.ndarray | None = None,
) -> None:
    """Draws PCA and UMAP of embeddings side by side, a colour for each class.

    Args:
      path: PNG to write.
      embedding: Float `[r, d]`.
      label: Int `[r]`, index into `classes`; rows with -1 are not drawn.
      classes: Names.
      title: Over the figure; how many points of how many are shown is added.
      note: Under the title, such as `"SIMULATED data"`.
      seed: Of the choice of points and of UMAP.
      most: Points at most, chosen by `balanced_rows`; UMAP's time grows with them.
      umap: Whether to draw UMAP.
      chosen_from: Labels of all rows, where those given were chosen from more: the
        figure then says of how many.

    Raises:
      ValueError: Shapes differ, values are not finite, or fewer than three rows have
        labels.
    """
    every = label if chosen_from is None else chosen_from
    every = np.asarray(every)
    labelled = int((every >= 0).sum())
    x, shown = _drawn_rows(embedding, label, every, most, seed)
    flat, share = _pca(x)
    drawn = [
        (
            flat,
            "PCA",
            [
                f"component {i + 1}, {100 * share[i]:.1f} % of variance"
                for i in range(2)
            ],
        )
    ]
    if umap:
        drawn.append((_umap(x, seed), "UMAP", ["UMAP 1", "UMAP 2"]))
    figure = matplotlib.figure.Figure(figsize=(6.2 * len(drawn), 6.6))
    figure.set_layout_engine("constrained")
    for number, (points, name, names) in enumerate(drawn):
        axes = figure.add_subplot(1, len(drawn), number + 1)
        _scatter(axes, points, shown, seed)
        axes.set_title(name, fontsize=11)
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
        if name == "UMAP":  # Its axes have no unit, and its distances no scale.
            axes.set_xticks([])
            axes.set_yticks([])
    _legend(figure, every, shown, classes)
    of = f"all {labelled:,} labelled windows"
    if len(x) < labelled:
        of = f"{len(x):,} of {labelled:,} labelled windows, rare classes first"
    lines = [*textwrap.wrap(title, 66 * len(drawn)), of, *note.split("\n")]
    figure.suptitle("\n".join(filter(None, lines)), fontsize=11, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    replace_file(epath.Path(path), buffer.getvalue())


def _drawn_rows(
    embedding: np.ndarray, label: np.ndarray, every: np.ndarray, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and labels of the rows that are drawn; refuses what cannot be."""
    embedding, label = np.asarray(embedding), np.asarray(label)
    if embedding.ndim != 2 or label.shape != embedding.shape[:1]:
        raise ValueError(f"embeddings {embedding.shape} and labels {label.shape}")
    rows = balanced_rows(label, most, seed)
    if len(rows) < 3:
        raise ValueError(
            f"{(every >= 0).sum()} of {len(every)} rows have labels, too few to draw"
        )
    x = embedding[rows].astype(np.float32)
    broken = ~np.isfinite(x).all(axis=-1)
    if broken.any():
        raise ValueError(f"{broken.sum()} of {len(x)} embeddings are not finite")
    return x, label[rows]


def _pca(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First two components `[k, 2]` and their share of the variance."""
    from sklearn.decomposition import PCA

    if x.shape[1] == 1:
        x = np.concatenate([x, np.zeros_like(x)], axis=1)
    spread = x.var(axis=0).sum()
    if not spread:  # All the same: shares would be 0/0.
        return np.zeros((len(x), 2), np.float32), np.zeros(2)
    pca = PCA(n_components=2, random_state=0)
    return pca.fit_transform(x), pca.explained_variance_ratio_


def _umap(x: np.ndarray, seed: int) -> np.ndarray:
    """`[k, 2]`."""
    # Imported here: it compiles, which takes seconds. And it warns of what it does not
    # need, TensorFlow, and of what is no fault, such as many equal rows.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        # A seed makes it run on one thread; it warns unless that is said.
        model = UMAP(
            n_neighbors=min(15, len(x) - 1), init="pca", random_state=seed, n_jobs=1
        )
        return np.asarray(model.fit_transform(x))


def _style(number: int) -> tuple[str, str]:
    kinds = len(COLOURS)
    return COLOURS[number % kinds], _MARKERS[number // kinds % len(_MARKERS)]


def _scatter(axes, points: np.ndarray, label: np.ndarray, seed: int) -> None:
    # Mixed, or the class that is drawn last would hide the others.
    order = np.random.default_rng(seed).permutation(len(points))
    points, label = points[order], label[order]
    size = float(np.clip(20_000 / len(points), 3, 30))
    marker = np.array([_style(k)[1] for k in label])
    colour = np.array([_style(k)[0] for k in label])
    for kind in dict.fromkeys(_MARKERS):
        some = marker == kind
        if some.any():
            axes.scatter(
                *points[some].T, s=size, c=colour[some], marker=kind, alpha=0.55, lw=0
            )
    axes.margins(0.04)


def _legend(figure, every, shown, classes: Sequence[str]) -> None:
    handles, names = [], []
    for number in np.unique(shown).tolist():
        colour, marker = _style(number)
        handles.append(
            matplotlib.lines.Line2D([], [], color=colour, marker=marker, lw=0, ms=7)
        )
        here, there = (shown == number).sum(), (every == number).sum()
        count = f"{there:,}" if here == there else f"{here:,} of {there:,}"
        names.append(f"{classes[number]} ({count})")
    legend = figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(len(names), 3 * len(figure.axes)),
        frameon=False,
        fontsize=9,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
