"""Larger target banks: between a few target clips, and between them and source clips.

With 1000 source clips and 3 of the target, a nearest neighbour is a source clip by
weight of numbers. Both methods invent target embeddings from training clips alone.
"""

import numpy as np

from sigjax.evals.anomaly.distances import nearest


def smote(target: np.ndarray, count: int, *, neighbors: int, seed: int) -> np.ndarray:
    """Points between target clips and their nearest target clips.

    SMOTE (Chawla et al. 2002). Peers take imbalanced-learn's; these lines save that
    dependency, and the draw is other.

    Args:
      target: Float64 `[n d]`.
      count: How many rows the bank shall have.
      neighbors: Of which one is drawn; fewer where there are fewer.
      seed: Of the draw.

    Returns:
      Float64 `[max(n, count) d]`: the target clips, and new rows after them. One clip
      alone has no neighbour: it comes back as it is.
    """
    new = count - len(target)
    if new <= 0 or len(target) < 2:
        return target
    _, near = nearest(target, target, neighbors, leave_self=True)
    rng = np.random.default_rng(seed)
    first = rng.integers(len(target), size=new)
    second = near[first, rng.integers(near.shape[1], size=new)]
    share = rng.random((new, 1))
    between = (1 - share) * target[first] + share * target[second]
    return np.concatenate([target, between])


def mem_mixup(
    target: np.ndarray, source: np.ndarray, *, share: float, neighbors: int
) -> np.ndarray:
    """Target clips drawn towards each of their nearest source clips.

    Args:
      target: Float64 `[n d]`.
      source: Float64 `[r d]`.
      share: Of the target clip in a mixture, 0.9 in GenRep.
      neighbors: Source clips for each target clip, 990 in GenRep; fewer where there
        are fewer.

    Returns:
      Float64 `[n + n k d]`: the target clips, and the mixtures after them.
    """
    if not len(target) or not len(source):
        return target
    _, near = nearest(target, source, neighbors)
    mixed = share * target[:, None] + (1 - share) * source[near]
    return np.concatenate([target, mixed.reshape(-1, target.shape[1])])
