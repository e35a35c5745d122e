"""Handwritten digits that scikit-learn brings along: no network is needed."""

import numpy as np

from sigjax.data.examples.example_set import example_set
from sigjax.data.examples.loaded import Loaded, undivided


def digits() -> Loaded:
    """1,797 digits, uint8 `[8, 8, 1]`, values 0 to 16; ten classes, no groups.

    The test set of the UCI "Optical Recognition of Handwritten Digits" (Alpaydin and
    Kaynak 1998); who wrote which is not published.
    """
    from sklearn.datasets import load_digits  # Slow to import.

    images, label = load_digits(return_X_y=True)
    return undivided(
        example_set(
            images.reshape(-1, 8, 8, 1).astype(np.uint8),
            label=np.asarray(label),
            ids=[f"digit{number:04d}" for number in range(len(label))],
            classes=[str(digit) for digit in range(10)],
            units="grey level",
            origin="scikit-learn's handwritten digits, 8 x 8",
        )
    )
