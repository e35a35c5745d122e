"""A frozen encoder, run once over every window; the head is trained on its tokens."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from launch import runtime
from launch.wrist import encoders
from launch.wrist.har_wrist import HarWrist, width
from sigjax.config import ConfigError
from sigjax.data.har import HarData
from sigjax.data.tokens import Items, TokenData, TokenTable, TokenWindows
from sigjax.data.windows import LabelledWindows
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig
from sigjax.signal.patches import dequantise
from sigjax.signal.rotation import random_rotations
from sigjax.typing import Array

# Windows at a time on each device: enough to fill an accelerator.
_PER_DEVICE = {"cpu": 4}
_PER_ACCELERATOR = 64


def token_data(
    system: HarWrist,
    data: HarData,
    model: WindowClassifierConfig,
    variables: Any,
    workdir: epath.Path,
) -> tuple[TokenData, dict[str, Any]]:
    """Embeds the training and validation windows, as far as that is not yet done.

    Args:
      system: The run's.
      data: Its windows.
      model: With the encoder's architecture.
      variables: The encoder's; see `encoder_of_run`.
      workdir: Tokens are kept in `WORKDIR/tokens`.

    Returns:
      Batches of tokens, and the collection `statistics` of a head that standardises.

    Raises:
      sigjax.data.tokens.TokenError: Tokens cannot be written.
    """
    embed = _Embedding(system, model, variables, workdir / "tokens")
    train = embed.windows("train", data.windows("train"), views=system.encoder.views)
    held = None
    if data.people["validation"]:
        held = embed.windows("validation", data.windows("validation"))
    statistics = _statistics(train) if system.head.standardise else {}
    return TokenData(data, train, held), statistics


def _check_views(system: HarWrist) -> None:
    several, augmented = system.encoder.views > 1, system.task.augmentation != "none"
    if several != augmented:
        raise ConfigError(
            f"encoder.views={system.encoder.views} and task.augmentation="
            f"{system.task.augmentation!r}: the first version of a window is the window"
            " itself, the others are augmented; set both or neither"
        )


def encoder_of_run(
    system: HarWrist, data: HarData, workdir: epath.Path
) -> tuple[Any, dict[str, Any]]:
    """The run's own copy of the encoder, in `WORKDIR/encoder`; made if it is not there.

    With it a run continues after what it was made from was moved or trained on.

    Returns:
      Variables, and what `encoder.json` says of them.

    Raises:
      ConfigError: The encoder does not fit the set, or is not the one the run was
        started with.
    """
    _check_views(system)
    folder, wanted = workdir / "encoder", system.encoder
    asked = {"weights": wanted.weights, "step": wanted.step, "kind": wanted.kind}
    saved = encoders.saved_encoder(folder)
    if saved is not None:
        before = {name: saved[1][name] for name in asked}
        if before != asked:
            raise ConfigError(
                f"{workdir} was started with the encoder {before}, now {asked}: use"
                " another --workdir"
            )
        return saved
    found = encoders.load_encoder(wanted)
    if found is None:
        model = system.classifier(len(data.classes))
        variables = encoders.random_encoder(model, system.seed)
        architecture, source, differences = model.mae or model.harnet, {}, []
    else:
        encoders.check_signal(found, system)
        variables, architecture = found.variables(), found.architecture
        source = dict(found.source)
        differences = encoders.preparation_differences(
            found.preprocessing, data.preprocessing
        )
    for line in differences if jax.process_index() == 0 else ():
        print(f"note: the labelled set was prepared otherwise: {line}", flush=True)
    assert architecture is not None
    about = {
        **asked,
        "architecture": dataclasses.asdict(architecture),
        "digest": _digest(variables),
        "preparation_differences": differences,
        "source": source,
    }
    encoders.save_encoder(folder, variables, about)
    runtime.wait_for_all("encoder saved")
    return variables, about


class _Embedding:
    """Runs the encoder on this process's devices and keeps what it gives."""

    def __init__(
        self,
        system: HarWrist,
        model: WindowClassifierConfig,
        variables: Any,
        folder: epath.Path,
    ):
        self._system, self._model, self._folder = system, model, folder
        self._digest = _digest(variables)
        devices = jax.local_devices()
        mesh = Mesh(np.array(devices), ("data",))
        self._rows = NamedSharding(mesh, PartitionSpec("data"))
        whole = NamedSharding(mesh, PartitionSpec())
        self._variables = jax.device_put(variables, whole)
        per_device = _PER_DEVICE.get(jax.default_backend(), _PER_ACCELERATOR)
        self._batch_size = per_device * len(devices)
        module, task = WindowClassifier(model), system.task

        @jax.jit
        def embed(variables, batch: Mapping[str, Array]) -> Array:
            x = dequantise(batch["counts"], batch["scale"])
            if system.encoder.views > 1:
                turn = random_rotations(jax.random.key(system.seed), batch["seed"])
                turned = jnp.einsum("bsc,bce->bse", x, turn)
                x = jnp.where((batch["view"] > 0)[:, None, None], turned, x)
            length = batch["valid"] // task.label_samples
            tokens = module.apply(variables, x, length, method=WindowClassifier.encode)
            return cast(Array, tokens)

        self._embed = embed

    def windows(
        self, name: str, windows: LabelledWindows, *, views: int = 1
    ) -> TokenWindows:
        """Tokens of these windows, of each of their views."""
        items = Items(
            windows, context=self._model.context, views=views, seed=self._system.seed
        )
        table = TokenTable(
            self._folder / name,
            items,
            width=width(self._model),
            batch_size=self._batch_size,
            key={
                "encoder": self._digest,
                "pool": self._model.pool,
                "augmentation": self._system.task.augmentation,
                "seed": self._system.seed,
            },
        )
        shard = {"shard_index": jax.process_index(), "shard_count": jax.process_count()}
        total = sum(len(table.missing(p)) for p in range(table.parts))
        if total and not table.complete:
            hidden = jax.process_index() != 0
            wanted = ("counts", "scale", "valid", "seed", "view")
            with tqdm(total=total, unit="window", disable=hidden) as bar:
                bar.set_description(f"embedding the {name} windows")
                for block in table.blocks(**shard):
                    batch = {k: np.asarray(block.batch[k]) for k in wanted}
                    placed = jax.device_put(batch, self._rows)
                    table.write(block, np.asarray(self._embed(self._variables, placed)))
                    bar.update(len(block.items))
        runtime.wait_for_all(f"{name} windows embedded")
        if jax.process_index() == 0 and not table.complete:
            table.finish()
        runtime.wait_for_all(f"{name} tokens complete")
        return TokenWindows(table, windows)


def _digest(variables: Any) -> str:
    found = hashlib.blake2b(digest_size=8)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def _statistics(train: TokenWindows) -> dict[str, np.ndarray]:
    """Mean and standard deviation of the training tokens, `[d]` each."""
    count, total, square = 0, 0.0, 0.0
    for index in range(len(train)):
        tokens = np.asarray(train.table.window(index), np.float64)
        count += len(tokens)
        total = total + tokens.sum(axis=0)
        square = square + np.square(tokens).sum(axis=0)
    mean = np.asarray(total / count)
    deviation = np.sqrt(np.maximum(square / count - mean**2, 0.0))
    # A value that never changes tells nothing: it must not be divided by nothing.
    scale = np.where(deviation > 1e-6, deviation, 1.0)
    return {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}
