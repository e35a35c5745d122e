"""What a trained model says of whole clips: the bank that back-ends fit and score."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sigjax.data.machine_sound.sounds import SoundSet
from sigjax.data.machine_sound.stream import SoundData
from sigjax.data.segments import Segments
from sigjax.evals.anomaly.per_section import Bank
from sigjax.tasks.frame_reconstruction import FrameReconstruction
from sigjax.tasks.section_id import SectionIdentification
from sigjax.typing import PyTree

SoundTask = SectionIdentification | FrameReconstruction


class Embedded(NamedTuple):
    """Clips and what the model said of them.

    Attributes:
      indices: Int64 `[n]`, numbers of the clips in the set.
      bank: Their bank.
    """

    indices: np.ndarray
    bank: Bank


def embed(
    task: SoundTask,
    variables: Mapping[str, PyTree],
    data: SoundData,
    *,
    residuals: bool = False,
    progress: Callable[[Segments], Any] = iter,
    **which: Any,
) -> Embedded:
    """Runs a model over clips, segment by segment.

    A clip's embedding is the mean over its segments. Their class scores stay apart,
    since equation 4 of paper 001 is a mean of each segment's score; where clips of one
    bank have different numbers of segments, those of the shorter are repeated. Of a
    frame autoencoder the embedding is one number, the mean squared error.

    Args:
      task: Of the model.
      variables: As trained.
      data: Whose clips.
      residuals: Keep a frame autoencoder's residuals too: 0.8 MB for each 10 s.
      progress: Wraps the batches, as `tqdm.tqdm` does.
      **which: Which clips; see `SoundData.clips`.

    Returns:
      The clips in the set's order; there may be none.
    """
    indices, segments = data.clips(**which)
    found: dict[str, list[np.ndarray]] = {}
    for batch in _run(task, variables, progress(segments), residuals):
        for name, value in batch.items():
            found.setdefault(name, []).append(value)
    columns: dict[str, Any] = {}
    if len(indices):
        by_segment = {name: np.concatenate(parts) for name, parts in found.items()}
        columns["embedding"] = segments.mean(by_segment["embedding"])
        for name in ("logits", "residual"):
            if name in by_segment:
                columns[name] = _side_by_side(by_segment[name], segments)
    return Embedded(indices, _bank(data, indices, columns))


def on_all_devices(
    function: Callable[[PyTree, jax.Array], PyTree],
) -> Callable[[PyTree, Any], PyTree]:
    """Compiles a function of variables and a batch whose rows do not meet.

    The devices of this process share a batch that they divide evenly; another runs on
    the first. That is for several accelerators, and for a CPU's cores: XLA gives the
    FFT and other steps one core only, but each CPU device runs for itself
    (`JAX_NUM_CPU_DEVICES`).

    Args:
      function: `(variables, [b, ...])` to arrays `[b, ...]`.

    Returns:
      The same function.
    """
    devices = jax.local_devices()
    alone = jax.jit(function)
    if len(devices) == 1:
        return alone
    mesh = Mesh(np.array(devices), ("rows",))
    rows = PartitionSpec("rows")
    divided = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(PartitionSpec(), rows),
        out_specs=rows,
        check_vma=False,  # loops inside need not say what varies
    )
    shared = jax.jit(divided)

    def run(variables: PyTree, batch: Any) -> PyTree:
        if len(batch) % len(devices):
            return alone(variables, batch)
        # Restored variables may be bound to one device.
        everywhere = NamedSharding(mesh, PartitionSpec())
        return shared(jax.device_put(variables, everywhere), batch)

    return run


def _run(
    task: SoundTask, variables: Mapping[str, PyTree], batches: Any, residuals: bool
) -> Iterator[dict[str, np.ndarray]]:
    frames = isinstance(task, FrameReconstruction)
    function = on_all_devices(task.residuals if frames else task.embed)
    variables = jax.device_put(dict(variables))
    for batch in batches:
        kept = batch.weight > 0
        out = jax.device_get(function(variables, batch.wave))
        if not frames:
            yield {"embedding": out.embedding[kept], "logits": out.logits[kept]}
            continue
        residual = out[kept]
        error = np.square(residual, dtype=np.float64).mean(axis=(1, 2))
        found = {"embedding": error[:, None]}
        if residuals:
            bands = task.config.mel.n_mels
            found["residual"] = residual.reshape(len(residual), -1, bands)
        yield found


def _side_by_side(values: np.ndarray, segments: Segments) -> np.ndarray:
    """`[m, ...]` of segments to `[n, b, ...]` of clips, or `[n, ...]` if all have one.

    Axes that segments bring (patches, frames) join that of the segments.
    """
    counts = segments.counts
    most = int(counts.max())
    first = np.cumsum(counts) - counts
    index = first[:, None] + np.arange(most) % counts[:, None]
    found = values[index]
    if found.ndim > 3:
        return found.reshape(len(counts), -1, found.shape[-1])
    return found[:, 0] if most == 1 else found


def _bank(data: SoundData, indices: np.ndarray, columns: dict[str, Any]) -> Bank:
    clips = [data.dataset.clips[i] for i in indices]
    if "logits" in columns:
        known = [data.class_of(clip.machine, clip.section) for clip in clips]
        columns["class_index"] = np.array(known, np.int64)
    return Bank(
        section=np.array([clip.section for clip in clips], np.str_),
        domain=np.array([clip.domain for clip in clips], np.str_),
        machine=np.array([clip.machine for clip in clips], np.str_),
        **columns,
    )


def names_of(dataset: SoundSet, indices: np.ndarray) -> np.ndarray:
    """Names of clips, text `[n]`: of a year of DCASE those of the files.

    Elsewhere two folders may hold files of one name, so it is the path; of a stretch of
    a file also where it begins.
    """
    found = []
    for i in indices:
        clip = dataset.clips[i]
        name = clip.path.rsplit("/", 1)[-1] if clip.year else clip.path
        found.append(f"{name}@{clip.start_s:g}" if clip.start_s else name)
    return np.array(found, np.str_)
