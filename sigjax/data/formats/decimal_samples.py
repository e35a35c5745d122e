"""Samples that arrive as decimal text, kept in as few bytes as lose nothing.

A week at 100 Hz is 60 million rows: 360 MB as int16, 720 MB as float32. Devices write
a few decimals of a number that they measured with 8 to 16 bits, so int16 counts of a
decimal step (0.001 g) usually are the text exactly.
"""

import functools
from collections.abc import Callable

import numpy as np

_MOST_DECIMALS = 6
_LIMIT = np.iinfo(np.int16).max
# Room is added in steps, in place where the operating system can move pages.
_STEP = 1 << 22
_CHUNK = 1 << 20


class Growing:
    """An array that grows at its end without a second copy of itself.

    Attributes:
      size: Elements so far.
    """

    def __init__(self, dtype: type):
        """Starts empty."""
        self.size = 0
        self._dtype = np.dtype(dtype)
        self._bytes = np.zeros(0, np.uint8)

    def append(self, values: np.ndarray) -> None:
        """Adds 1-D `values`, cast to the array's type."""
        stop = self.size + len(values)
        if stop * self._dtype.itemsize > len(self._bytes):
            # `refcheck` sees references that are gone; no view of it is ever kept.
            self._bytes.resize(stop * self._dtype.itemsize + _STEP, refcheck=False)
        self._bytes.view(self._dtype)[self.size : stop] = values
        self.size = stop

    def map(self, function: Callable[[np.ndarray], np.ndarray], dtype: type) -> None:
        """Replaces parts `x` by `function(x)` in place; `dtype` may be wider."""
        new = np.dtype(dtype)
        old, self._dtype = self._dtype, new
        self._bytes.resize(self.size * new.itemsize, refcheck=False)
        before = self._bytes[: self.size * old.itemsize].view(old)
        after = self._bytes.view(new)
        # From the end, where wider elements overwrite only those already read.
        for start in reversed(range(0, self.size, _CHUNK)):
            stop = min(start + _CHUNK, self.size)
            after[start:stop] = function(before[start:stop].copy())

    def finish(self) -> np.ndarray:
        """The array. Nothing can be added afterwards."""
        self._bytes.resize(self.size * self._dtype.itemsize, refcheck=False)
        return self._bytes.view(self._dtype)


class DecimalSamples:
    """Collects samples: int16 counts of 10^-k while those are exact, else float32.

    The rule: with the smallest k of 0 to 6 for which every number so far is a whole
    multiple of 10^-k, and of no more than 32767 of them, counts are kept. k grows, and
    int16 gives way to float32, as the numbers ask for it.
    """

    def __init__(self):
        """Starts empty."""
        self._flat = Growing(np.int16)
        self._decimals: int | None = 0
        self._largest = 0.0

    def append(self, values: np.ndarray) -> None:
        """Adds float64 `[n, 3]`."""
        flat = values.reshape(-1)
        if not len(flat):
            return
        counts = None
        if self._decimals is not None:
            self._largest = max(self._largest, float(np.abs(flat).max()))
            counts = self._counts(flat, self._decimals)
        self._flat.append(flat if counts is None else counts)

    def _counts(self, flat: np.ndarray, at_least: int) -> np.ndarray | None:
        """Whole multiples of the coarsest step that fits; None once there is none."""
        for decimals in range(at_least, _MOST_DECIMALS + 1):
            # Both are the double next to the same decimal fraction, or it is none.
            power = 10.0**decimals
            if self._largest * power > _LIMIT + 0.5:
                break
            counts = np.rint(flat * power)
            if np.array_equal(counts / power, flat):
                factor = np.int16(10 ** (decimals - at_least))
                if factor > 1 and self._flat.size:
                    self._flat.map(functools.partial(np.multiply, factor), np.int16)
                self._decimals = decimals
                return counts
        power, self._decimals = 10.0**at_least, None
        self._flat.map(lambda x: x / power, np.float32)
        return None

    def finish(self) -> tuple[np.ndarray, float]:
        """Returns int16 or float32 `[s, 3]`, and the file's unit per count."""
        flat = self._flat.finish().reshape(-1, 3)
        return flat, 1.0 if self._decimals is None else 10.0**-self._decimals
