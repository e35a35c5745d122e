"""Who runs what, among processes and hosts that share a folder."""

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator

from etils import epath

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None


class ClaimError(RuntimeError):
    """The folder cannot be shared; the message says why and what to do."""


@contextlib.contextmanager
def claim(folder: epath.Path, name: str, *, wait: bool = False) -> Iterator[bool]:
    """Claims `name` for this process as long as the context lasts.

    The operating system lets go of a claim when its process ends, however it ends, so
    a dead owner's work is free again at once; on NFS too, where locks are the server's.

    Args:
      folder: Of the claims; created if missing.
      name: What is claimed.
      wait: Until another process lets go, instead of giving up.

    Yields:
      Whether it is ours now.

    Raises:
      ClaimError: This file system has no locks.
    """
    if fcntl is None:  # One process at a time: `--processes` is refused there.
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            raise ClaimError(
                f"{folder} is on a file system without locks ({error}): choose a"
                " --workdir on a local disk, NFS or another that has them"
            ) from error
        handle.truncate(0)
        now = datetime.datetime.now().isoformat(" ", "seconds")
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
        handle.flush()
        yield True


def owner(folder: epath.Path, name: str) -> str:
    """Who claimed `name` last."""
    path = folder / name
    text = path.read_text().strip() if path.exists() else ""
    return text or "unknown process"
