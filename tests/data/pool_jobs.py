"""What worker processes do in the tests; imports little, for they start anew."""

import os
import pathlib
import signal
import sys
import time

from sigjax.data.wearable import pool


def act(job):
    """A job: what to do, and a folder to leave traces in."""
    number, deed, folder = job
    trace = pathlib.Path(folder) / f"{number}"
    before = trace.read_text().count("\n") if trace.exists() else 0
    with trace.open("a") as handle:
        handle.write(f"{os.getpid()}\n")
    if deed == "die" or deed == "die once" and not before:
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "exit":
        os._exit(7)
    if deed == "raise":
        raise FileNotFoundError(f"job {number}")
    if deed == "raise what does not pickle":
        raise type("Local", (Exception,), {})("odd")
    if deed == "settings":
        threads = [os.environ[name] for name in pool.ENVIRONMENT]
        return threads, "jax" in sys.modules, signal.getsignal(signal.SIGINT)
    while deed == "meet" and len(list(trace.parent.iterdir())) < 2:
        time.sleep(0.01)
    if deed == "wait":
        time.sleep(60)
    return number
