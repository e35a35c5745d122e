"""Each speed claim as one command, with its peer in the same run.

Each side has the memory that is best for it: ours what its command has, PyTorch's one
arena that keeps what is freed (`launch.memory`).
"""

from launch.memory import Memory, settle

_KEPT = ("encoder", "predict_ours")
_APART = (
    "asd_features",
    "asd_score",
    "deformable_attention",
    "fbank",
    "probe_sweep",
)


def _memory_of(name: str) -> Memory:
    if name.endswith(("_peer", "_torch")):
        return Memory.KEPT
    if name in _KEPT:
        return Memory.HUGE_KEPT
    return Memory.HUGE_APART if name in _APART else Memory.HUGE


settle("benchmarks", _memory_of)
