"""Simulators that write the real file formats."""

from sigjax.data.synthetic.capture24 import write_capture24
from sigjax.data.synthetic.clock import SampleClock
from sigjax.data.synthetic.cwa import CwaDevice, Interruption, write_cwa
from sigjax.data.synthetic.damage import DAMAGE, Damage
from sigjax.data.synthetic.recordings import (
    Conditions,
    simulate_recordings,
    write_recording,
)
from sigjax.data.synthetic.truth import RecordingTruth, StoredRun
from sigjax.data.synthetic.wrist import ACTIVITIES, Span, WristSimulation, WristTruth

__all__ = [
    "ACTIVITIES",
    "DAMAGE",
    "Conditions",
    "CwaDevice",
    "Damage",
    "Interruption",
    "RecordingTruth",
    "SampleClock",
    "Span",
    "StoredRun",
    "WristSimulation",
    "WristTruth",
    "simulate_recordings",
    "write_capture24",
    "write_cwa",
    "write_recording",
]
