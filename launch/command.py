"""What all commands do with their arguments, errors and signals; needs no JAX."""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from absl import app


@contextlib.contextmanager
def told(errors: tuple[type[Exception], ...], stopped: str) -> Iterator[None]:
    """Ends the command in one line where its body fails or is stopped.

    Args:
      errors: Expected ones: their message says what to change.
      stopped: Told after SIGTERM or Ctrl-C, which end the command with status 130.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except errors as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        _leave(130)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _leave(status: int) -> NoReturn:
    """Ends this process after its exit handlers, as `multiprocessing` ends its own.

    Python would then take down libraries whose threads are still at work in the middle
    of what was stopped, which now and then crashes: the status says SIGSEGV, not 130.
    """
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def refuse_arguments(argv: Sequence[str]) -> None:
    """For commands that take flags alone.

    Raises:
      app.UsageError: There are others.
    """
    if len(argv) > 1:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
