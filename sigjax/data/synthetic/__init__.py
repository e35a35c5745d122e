"""Simulators that write the real file formats."""

from sigjax.data.synthetic.cwa import CwaDevice, Interruption, write_cwa
from sigjax.data.synthetic.recordings import simulate_recordings
from sigjax.data.synthetic.wrist import ACTIVITIES, Span, WristSimulation, WristTruth

__all__ = [
    "ACTIVITIES",
    "CwaDevice",
    "Interruption",
    "Span",
    "WristSimulation",
    "WristTruth",
    "simulate_recordings",
    "write_cwa",
]
