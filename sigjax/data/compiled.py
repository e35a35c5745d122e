"""Loops over samples that run at the speed of C.

`compiled` is numba's `njit` with what every loop here needs. The machine code is
compiled once per machine (about a second for each loop) and kept beside the source
file, or in the user's cache folder where that cannot be written (`NUMBA_CACHE_DIR`
names another); where neither can, each process compiles for itself.
"""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of arrays and numbers at its first call.

    Multiplications and additions may fuse (which rounds once instead of twice), but
    nothing else that changes a float's value is allowed. The global interpreter lock
    is released while it runs.

    Call only compiled functions of the same file from a compiled function: numba does
    not notice when another file changes and would keep its old code.
    """
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "no locator available": no folder can be written.
        return numba.njit(**options)(function)
