"""Nearest neighbours: a probe that is not trained.

Euclidean distance between standardised features; each of the k nearest training clips
has one vote. It equals scikit-learn's `KNeighborsClassifier(algorithm="brute")` but
where distances are equal to rounding. On accelerators all products are theirs.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.evals.layer_probes.folds import Fold
from sigjax.evals.layer_probes.standard import Standard
from sigjax.metrics import classification
from sigjax.metrics.recall import unweighted_average_recall

# Distances of so many clips to all training clips exist at once.
_QUERIES = 512


@functools.partial(jax.jit, static_argnames="count")
def nearest(train: jax.Array, query: jax.Array, *, count: int) -> jax.Array:
    """The nearest training rows, nearest first.

    Args:
      train: Float32 `[t, w]`.
      query: Float32 `[q, w]`.
      count: How many, at most `t`.

    Returns:
      Int32 `[q, count]`; of equal distances the first row's.
    """
    length = jnp.square(train).sum(axis=-1)

    def one(x):
        # A row's own length is the same for all its distances.
        product = jnp.matmul(train, x, precision=jax.lax.Precision.HIGHEST)
        return jax.lax.top_k(2 * product - length, count)[1]

    return jax.lax.map(one, query, batch_size=_QUERIES)


def votes(label: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Share of votes float32 `[q, v]` of neighbours' rows `[q, k]`."""
    total = np.zeros((len(found), classes), np.float32)
    query = np.arange(len(found))
    for column in found.T:  # a query has one vote in each column
        total[query, label[column]] += 1
    return total / found.shape[1]


def classify(
    values: np.ndarray,
    label: np.ndarray,
    classes: int,
    fold: Fold,
    by: Standard,
    fold_number: int,
    counts: Sequence[int],
) -> tuple[int, float, np.ndarray]:
    """Classifies a fold's test rows.

    Args:
      values: Float32 `[n, w]`.
      label: Int `[n]`.
      classes: `v`.
      fold: Splits.
      by: What features are standardised by.
      fold_number: The fold's place in it.
      counts: Numbers of neighbours to choose from; those beyond the training rows are
        left out, the smallest is cut.

    Returns:
      The number that validation chose (of equals the smaller one), its validation UAR,
      and float32 posteriors `[q, v]`.
    """
    mean, scale = by.mean[fold_number], by.scale[fold_number]
    train, validation, test = (
        jnp.asarray((values[rows] - mean) / scale)
        for rows in (fold.train, fold.validation, fold.test)
    )
    counts = sorted({min(count, len(fold.train)) for count in counts})
    own = label[fold.train]
    found = np.asarray(nearest(train, validation, count=counts[-1]))
    uar = []
    for count in counts:
        told = votes(own, found[:, :count], classes).argmax(axis=-1)
        confusion = classification.confusion_matrix(
            label[fold.validation], told, classes
        )
        uar.append(float(unweighted_average_recall(confusion)))
    best = int(np.argmax(uar))
    found = np.asarray(nearest(train, test, count=counts[best]))
    return counts[best], uar[best], votes(own, found, classes)
