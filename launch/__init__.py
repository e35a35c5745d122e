"""Commands, `python -m launch.NAME`; what they do for a field is in its own room."""

from launch.memory import Memory, settle

_WANTED = {
    "extract": Memory.HUGE_KEPT,
    "predict": Memory.HUGE_KEPT,
    "probe": Memory.HUGE_APART,
}

settle("launch", lambda name: _WANTED.get(name, Memory.HUGE))
