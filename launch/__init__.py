"""Commands, `python -m launch.NAME`; what they do for a field is in its own room."""

from launch import memory

# Before anything else is imported: threads of libraries keep the arenas that they have,
# and some start theirs at import (pyarrow).
memory.keep_freed()
