"""PyTorch's random split without PyTorch, for results on the same test calls."""

import numpy as np

from sigjax.data.calls.manifest import SPLITS

PAPER_SEED = 42
# Where PyTorch begins to draw 64 bits for each place.
_MOST_IN_TORCH = 2**32 // 20


def torch_permutation(n: int, seed: int) -> np.ndarray:
    """The order that PyTorch's `randperm(n)` draws on CPU, with a seeded generator.

    Fisher and Yates' shuffle with the 32-bit outputs of a Mersenne Twister, which NumPy
    seeds alike: place `i` is swapped with `i + r % (n - i)`.

    Args:
      n: How many.
      seed: Of `torch.Generator().manual_seed`, in [0, 2**32).

    Returns:
      Int64 `[n]`.

    Raises:
      ValueError: `n` is negative, or so large that PyTorch draws otherwise.
    """
    if not 0 <= n < _MOST_IN_TORCH:
        raise ValueError(f"a permutation of {n} is not in [0, {_MOST_IN_TORCH})")
    draws = np.random.RandomState(seed).randint(0, 2**32, max(0, n - 1), np.uint32)
    jumps = (draws.astype(np.int64) % np.arange(n, 1, -1)).tolist()
    order = list(range(n))
    for at, jump in enumerate(jumps):
        order[at], order[at + jump] = order[at + jump], order[at]
    return np.array(order, np.int64)


def paper(n: int, *, seed: int = PAPER_SEED) -> list[str]:
    """The random 70:20:10 split that the paper's results are of.

    Sarkar and Magimai-Doss, "Comparing Self-Supervised Learning Models Pre-Trained on
    Human Speech and Animal Vocalizations for Bioacoustics Processing", section II-A:
    `torch.utils.data.random_split` into int(0.7 n), int(0.2 n) and the rest, by neither
    class nor caller.

    Args:
      n: Calls, in the order of the set's table.
      seed: Of the generator.

    Returns:
      A split for each.
    """
    first = int(0.7 * n)
    second = first + int(0.2 * n)
    found = np.empty(n, object)
    order = torch_permutation(n, seed)
    parts = (order[:first], order[first:second], order[second:])
    for name, part in zip(SPLITS, parts, strict=True):
        found[part] = name
    return found.tolist()
