"""Each speed claim as one command, with its peer in the same run.

Both sides keep what they free (`launch.memory`): ours as its command does, peers in
small pages, for huge ones did not make PyTorch's steps faster.
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
