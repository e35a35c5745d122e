"""One preparation at a time per store."""

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator

from etils import epath

from sigjax.data.store_layout import StoreError

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None


@contextlib.contextmanager
def only_writer(store: epath.PathLike) -> Iterator[None]:
    """Keeps other preparations out of a store while it is written.

    The operating system lets go of the lock when this process ends, however it ends.
    There is no lock in a bucket, nor on file systems without locks: there, two runs
    over the same files do their work twice and leave a good store.

    Raises:
      StoreError: Another process is preparing into the store now.
    """
    if fcntl is None or "://" in os.fspath(store):
        yield
        return
    folder = epath.Path(store).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "prepare.lock"
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text().strip() or "unknown process"
            raise StoreError(
                f"{store}: another preparation writes to this store now"
                f" ({holder}); wait for it to end, or choose another store"
            ) from error
        except OSError:  # No locks on this file system.
            yield
            return
        handle.truncate(0)
        now = datetime.datetime.now().isoformat(" ", "seconds")
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
        handle.flush()
        yield
