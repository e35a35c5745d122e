"""Commands, `python -m launch.NAME`; what they do for a field is in its own room."""

from launch.memory import Memory, settle

settle("launch", lambda name: Memory.APART if name == "probe" else Memory.KEPT)
