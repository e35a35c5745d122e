"""Whether neighbours in an embedding are of one class, which it has never seen."""

import numpy as np
from scipy import spatial

from sigjax.evals.autoencoders.linear import flat


def purity(
    points: np.ndarray,
    label: np.ndarray,
    *,
    neighbours: int = 10,
    group: np.ndarray | None = None,
) -> np.ndarray:
    """Share of each point's nearest neighbours that are of its class.

    Labels measure the embedding; nothing is fitted to them. Chance is about the sum of
    squared shares of the classes.

    Args:
      points: `[n, ...]`; Euclidean distance of flattened rows.
      label: Int `[n]`; all known (0 or more).
      neighbours: How many, itself not counted.
      group: `[n]`; if given, neighbours of a point's own group (person, speaker) do not
        count, so that being alike by voice or wearer is no merit.

    Returns:
      Float64 `[n]` in [0, 1].

    Raises:
      ValueError: A label is unknown, sizes differ, or a point has not as many
        neighbours.
    """
    rows, label = flat(points), np.asarray(label)
    if len(rows) != len(label) or (group is not None and len(group) != len(rows)):
        raise ValueError(f"{len(rows)} points have {len(label)} labels")
    if (label < 0).any():
        raise ValueError(f"{int((label < 0).sum())} points have no label (-1)")
    found = np.zeros(len(rows))
    if group is None:
        if len(rows) <= neighbours:
            raise ValueError(f"{len(rows)} points have no {neighbours} neighbours each")
        nearest = _nearest(rows, rows, neighbours, itself=np.arange(len(rows)))
        return (label[nearest] == label[:, None]).mean(axis=1)
    for name in np.unique(group):
        own, others = np.flatnonzero(group == name), np.flatnonzero(group != name)
        if len(others) < neighbours:
            raise ValueError(
                f"points of group {name} have {len(others)} points of other groups,"
                f" fewer than {neighbours} neighbours"
            )
        nearest = others[_nearest(rows[own], rows[others], neighbours)]
        found[own] = (label[nearest] == label[own][:, None]).mean(axis=1)
    return found


def _nearest(
    rows: np.ndarray, among: np.ndarray, count: int, itself: np.ndarray | None = None
) -> np.ndarray:
    """Int `[n, count]`, places in `among`; of equal distances the first place."""
    found = np.empty((len(rows), count), np.int64)
    for start in range(0, len(rows), 512):
        part = slice(start, start + 512)
        distance = spatial.distance.cdist(rows[part], among, "sqeuclidean")
        if itself is not None:
            distance[np.arange(len(distance)), itself[part]] = np.inf
        found[part] = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return found


def chance(label: np.ndarray) -> float:
    """Purity of points that lie anywhere: a second draw is of the same class."""
    _, counts = np.unique(np.asarray(label), return_counts=True)
    n = counts.sum()
    return float((counts * (counts - 1)).sum() / (n * (n - 1)))


def told_apart(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Whether each example's nearest other one is of its own kind, real or made.

    The mean is the accuracy of the two-sample test by nearest neighbours (Lopez-Paz and
    Oquab 2017, arXiv 1610.06545): 0.5 if nobody can tell samples from data, 1 if all
    can; below 0.5 samples are copies of these examples.

    Args:
      real: `[n, ...]`, examples that were not trained on.
      made: `[n, ...]`, samples.

    Returns:
      Float64 `[2 n]`, 1 or 0: of the real ones, then of those made.

    Raises:
      ValueError: There are not as many of either, or fewer than two.
    """
    if len(real) != len(made) or len(real) < 2:
        raise ValueError(f"{len(real)} real and {len(made)} made: give as many of each")
    rows = np.concatenate([flat(real), flat(made)])
    own = np.arange(len(rows)) < len(real)
    nearest = _nearest(rows, rows, 1, itself=np.arange(len(rows)))[:, 0]
    return (own[nearest] == own).astype(np.float64)


def distance_to(rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Float64 `[n]`: Euclidean distance of each row to the nearest of others."""
    rows, among = flat(rows), flat(among)
    nearest = _nearest(rows, among, 1)[:, 0]
    return np.linalg.norm(rows - among[nearest], axis=1)
