"""Clusters of frames, fitted once before training and kept with the run."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from sigjax.config import ConfigError
from sigjax.data.calls.stream import CallData
from sigjax.tasks.masked_prediction import MaskedPrediction
from sigjax.train.writer import replace_file

# Of frames whose number never changes.
_LEAST_STD = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How clusters are fitted: MiniBatchKMeans of scikit-learn on standardised frames.

    Attributes:
      frames: How many of the training calls, at most; of one epoch.
      starts: Random starts (k-means++), of which the best is kept; HuBERT's 20.
      batch_frames: Frames of a mini-batch; HuBERT's 10,000.
      passes: Over the frames, at most.
      seed: Of the starts.
      teacher: Bundle of an earlier encoder, where task.targets is `"layer"`.
    """

    frames: int = 200_000
    starts: int = 20
    batch_frames: int = 10_000
    passes: int = 100
    seed: int = 0
    teacher: str = ""

    def __post_init__(self):
        """Refuses numbers without meaning."""
        for name in ("frames", "starts", "batch_frames", "passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: {getattr(self, name)}")


def clusters_of(
    task: MaskedPrediction,
    data: CallData,
    config: ClusterConfig,
    workdir: epath.Path,
    given: Mapping[str, Any],
    source: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """The clusters of a run: those in its folder, or fitted now.

    Args:
      task: Says what a frame is.
      data: Its training calls.
      config: How they are fitted.
      workdir: Of the run: `clusters.npz`, and `clusters.json` that tells of them.
      given: The variables that frames depend on: `teacher`, where there is one.
      source: What identifies those variables.

    Returns:
      `centre` [v, p], `mean` and `scale` [p], float32.

    Raises:
      ConfigError: The folder has clusters of other settings or calls, or there are
        fewer frames than clusters.
    """
    path = workdir / "clusters.npz"
    now = fingerprint(task, data, config, source)
    if path.exists():
        with np.load(io.BytesIO(path.read_bytes())) as file:
            found = {name: file[name] for name in file.files}
        if str(found.pop("fingerprint")) != now:
            raise ConfigError(
                f"{path} was fitted with other settings or calls: start anew in another"
                " --workdir"
            )
        return found
    frames, calls = _frames(task, data, given, config.frames)
    found, told = fit(frames, task.config.clusters, config)
    buffer = io.BytesIO()
    np.savez(buffer, fingerprint=np.array(now), **found)  # pyright: ignore
    told |= {"calls": calls, "simulated": data.simulated, "fingerprint": now}
    replace_file(
        workdir / "clusters.json", (json.dumps(told, indent=1) + "\n").encode()
    )
    replace_file(path, buffer.getvalue())
    print(
        f"{task.config.clusters} clusters of {len(frames):,} frames of"
        f" {calls:,} calls: {1 - told['unexplained']:.1%} of the variance explained,"
        f" the largest has {told['largest']:.1%} of the frames",
        flush=True,
    )
    return found


def fit(
    frames: np.ndarray, clusters: int, config: ClusterConfig
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fits clusters, and what is worth knowing of them.

    Args:
      frames: Float32 `[n, p]`.
      clusters: How many.
      config: How.

    Raises:
      ConfigError: There are fewer frames than clusters, or they are all alike.
    """
    from sklearn.cluster import MiniBatchKMeans

    if len(frames) < clusters:
        raise ConfigError(
            f"task.clusters={clusters}, but the training calls have {len(frames)}"
            " frames: give more sound, or ask for fewer clusters"
        )
    mean, std = frames.mean(axis=0, dtype=np.float64), frames.std(axis=0, dtype="f8")
    if not (std > _LEAST_STD).any() or not np.isfinite(std).all():
        raise ConfigError("frames of the training calls are all alike: silence?")
    # What never changes tells nothing apart.
    scale = np.divide(1, std, out=np.zeros_like(std), where=std > _LEAST_STD)
    x = ((frames - mean) * scale).astype(np.float32)
    kmeans = MiniBatchKMeans(
        clusters,
        batch_size=config.batch_frames,
        n_init=config.starts,  # pyright: ignore
        max_iter=config.passes,
        max_no_improvement=100,
        reassignment_ratio=0.0,
        random_state=config.seed,
    ).fit(x)
    sizes = np.bincount(kmeans.predict(x), minlength=clusters)
    told = {
        "frames": len(x),
        "unexplained": float(-kmeans.score(x) / np.square(x, dtype=np.float64).sum()),
        "largest": float(sizes.max() / len(x)),
        "empty": int((sizes == 0).sum()),
    }
    found = {"centre": kmeans.cluster_centers_, "mean": mean, "scale": scale}
    return {name: np.asarray(v, np.float32) for name, v in found.items()}, told


def fingerprint(
    task: MaskedPrediction,
    data: CallData,
    config: ClusterConfig,
    source: Mapping[str, Any],
) -> str:
    """Short hash of all that clusters depend on."""
    settings = dataclasses.asdict(task.config)
    kept = ("clusters", "targets", "cepstra", "layer")
    text = json.dumps(
        {
            "task": {name: settings[name] for name in kept},
            "fit": dataclasses.asdict(dataclasses.replace(config, teacher="")),
            "source": dict(source),
            "data": dict(data.fingerprint),
        },
        sort_keys=True,
    )
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _frames(
    task: MaskedPrediction, data: CallData, given: Mapping[str, Any], most: int
) -> tuple[np.ndarray, int]:
    """Frames of the training calls, `[n, p]`, and of how many calls they are."""
    described = jax.jit(task.frames)

    def found() -> Iterator[np.ndarray]:
        # Its own pass over the stream: what training sees first.
        stream = data.train(start_step=0, shard_index=0, shard_count=1)
        for _ in range(data.steps_per_epoch):
            batch = next(stream)
            x, count = jax.device_get(described(given, batch))
            yield from (row[:n] for row, n in zip(x, count, strict=True))

    rows: list[np.ndarray] = []
    total = 0
    for row in found():
        rows.append(np.asarray(row, np.float32))
        total += len(row)
        if total >= most:
            break
    calls = min(len(rows), len(data.train_source))
    return np.concatenate(rows)[:most], calls
