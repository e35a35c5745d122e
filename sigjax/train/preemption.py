"""Noticing in time that the machine is about to be taken away."""

import signal
import threading
from types import FrameType

import jax


class Preempted(SystemExit):
    """Training was asked to stop, saved its state and left; exit status 143.

    Non-zero, so that a job manager which restarts failed jobs starts it again.
    """

    def __init__(self, step: int):
        """Remembers the step that was saved."""
        super().__init__(143)
        self.step = step


class StopRequest:
    """A context in which SIGTERM asks to stop instead of killing the process.

    With several processes one may be told before the others, and all must save the
    same step: there JAX's coordination service has its own handler and agrees on it
    (`Checkpointer.reached_preemption`), and this one stays out of the way.
    """

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self.asked = False
        self._previous = None
        self._local = (
            not jax.distributed.is_initialized()
            and threading.current_thread() is threading.main_thread()
        )

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True

    def __enter__(self) -> "StopRequest":
        """Installs the handler."""
        if self._local:
            self._previous = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        """Puts the former handler back."""
        if self._local:
            signal.signal(signal.SIGTERM, self._previous)
