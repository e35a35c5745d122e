"""Each speed claim as one command, with its peer in the same run.

Each side has the memory that is best for it (`launch.memory`): ours what its command
has, peers theirs without huge pages, which slow PyTorch's steps down.
"""

from launch.memory import Memory, settle

_APART = (
    "asd_features",
    "asd_score",
    "deformable_attention",
    "fbank",
    "probe_sweep",
)


def _memory_of(name: str) -> Memory:
    if name.endswith(("_peer", "_torch")):
        return Memory.SMALL_PAGES
    return Memory.APART if name in _APART else Memory.KEPT


settle("benchmarks", _memory_of)
