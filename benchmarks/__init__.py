"""Each speed claim as one command, with its peer in the same run.

Both sides keep freed memory, as commands do: `launch` sees to it when it is imported,
which must be before libraries that start threads.
"""

import launch  # noqa: F401
