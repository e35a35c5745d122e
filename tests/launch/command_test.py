"""How a stopped command ends."""

import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# A library that does not survive being taken down, and a handler that must run.
_STOPPED = """
import atexit, os, signal, sys
from launch import command

class Fragile:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGSEGV):
        kill(me, number)

sys.fragile = Fragile()
atexit.register(print, "tidied up")
with command.told((), "stopped"):
    signal.raise_signal(signal.{number})
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_stopped_command_ends_before_libraries_are_taken_down(number):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _STOPPED.format(number=number)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 130, done.stderr
    assert (done.stdout, done.stderr) == ("tidied up\n", "stopped\n")
