"""A speech encoder on the devices of a process: moments of every layer of a batch."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import sigjax
from sigjax.evals.layer_features import FeaturesError
from sigjax.inference.base import BundleError
from sigjax.inference.speech_encoder import SpeechEncoderModel
from sigjax.models.speech_encoder import Moments, SpeechEncoder, SpeechEncoderConfig
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.speech.config import NormStats


class Encoder:
    """The encoder of a bundle; rows of a batch are divided over devices.

    Attributes:
      model: Of the bundle.
      config: Architecture, as it is computed.
      dtype: What it is computed in, `"float32"` or `"bfloat16"`.
      layers: Names of the layers whose moments there are.
      devices: That share a batch.
    """

    def __init__(
        self,
        bundle: epath.PathLike,
        *,
        proj: bool = False,
        norm_stats: NormStats = "exact",
        dtype: ComputeDtype = "auto",
        devices: int = 0,
    ):
        """Loads a bundle.

        Args:
          bundle: Of a speech encoder.
          proj: Whether the projected frames come before layer 0.
          norm_stats: See `SpeechEncoderConfig`.
          dtype: See `sigjax.nn.precision.compute_dtype`.
          devices: How many of this process; 0 for all.

        Raises:
          BundleError: It is of something else, or there are fewer devices.
          sigjax.train.checkpoint.CheckpointError: Its parameters cannot be read.
        """
        model = sigjax.load(bundle)
        if not isinstance(model, SpeechEncoderModel):
            raise BundleError(
                f"{bundle} holds a {type(model).__name__}: features of every layer are"
                " of speech encoders, as `launch.convert --system=speech` writes them"
            )
        local = jax.local_devices()
        if devices > len(local):
            raise BundleError(f"--devices={devices}: there are {len(local)}")
        self.model = model
        self.config = dataclasses.replace(model.config, norm_stats=norm_stats)
        self.dtype = str(compute_dtype(dtype))
        names = [str(layer) for layer in range(self.config.depth + 1)]
        self.layers = (*(("proj",) if proj else ()), *names)
        self.devices = local[: devices or len(local)]
        self._moments = _on_devices(
            SpeechEncoder(self.config, dtype), model.params, proj, self.devices
        )

    @property
    def fingerprint(self) -> str:
        """Tells encoders apart by architecture and parameters, wherever they lie."""
        return fingerprint(self.config, self.model.params)

    def moments(self, wave: np.ndarray, samples: np.ndarray) -> Moments:
        """Means and sums of squares of every layer over each row's own frames.

        Compiled once per shape; returns before the devices are done.

        Args:
          wave: Float32 `[b, s]`; `b` is a multiple of the devices.
          samples: Int32 `[b]`.
        """
        return self._moments(wave, samples)


@contextlib.contextmanager
def memory_told() -> Iterator[None]:
    """Says what to do where the devices' memory does not suffice.

    Raises:
      FeaturesError: It does not.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise FeaturesError(
                "a batch does not fit into the devices' memory: choose fewer"
                " --batch_samples"
            ) from error
        raise


def _on_devices(
    module: SpeechEncoder, params: Any, proj: bool, devices: Sequence[Any]
) -> Callable[[np.ndarray, np.ndarray], Moments]:
    mesh = Mesh(np.array(devices), ("rows",))
    rows, everywhere = PartitionSpec("rows"), PartitionSpec()

    def moments(params, wave, samples):
        return module.apply(
            {"params": params},
            *(wave, samples),
            proj=proj,
            method=SpeechEncoder.layer_moments,
        )

    # Rows do not meet: each device runs the program of its own, with any kernel.
    divided = jax.shard_map(
        moments,
        mesh=mesh,
        in_specs=(everywhere, rows, rows),
        out_specs=rows,
        check_vma=False,  # loops inside need not say what varies
    )
    run = jax.jit(divided)
    params = jax.device_put(params, NamedSharding(mesh, everywhere))
    own = NamedSharding(mesh, rows)

    def on_devices(wave: np.ndarray, samples: np.ndarray) -> Moments:
        return run(params, *jax.device_put((wave, samples), own))

    return on_devices


def fingerprint(config: SpeechEncoderConfig, params: Any) -> str:
    """16 characters of an architecture and its parameters' values."""
    digest = hashlib.blake2b(repr(dataclasses.asdict(config)).encode(), digest_size=8)
    leaves, _ = jax.tree.flatten_with_path(params)
    for path, leaf in sorted(leaves, key=lambda item: jax.tree_util.keystr(item[0])):
        value = np.asarray(leaf)
        name = f"{jax.tree_util.keystr(path)} {value.dtype} {value.shape}"
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()
