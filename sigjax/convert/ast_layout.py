"""What state dicts of Audio Spectrogram Transformers are called and how large they are.

See `sigjax.convert.ast` for the kinds that there are.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from sigjax.convert.pickles import WeightsError
from sigjax.models.ast import AstConfig
from sigjax.signal.fbank import STATISTICS, FbankConfig

State = Mapping[str, np.ndarray]

_HEAD_WIDTH = 64  # of every DeiT
_AUDIOSET = 527  # classes
# Frames that AST was published for: AudioSet, ESC-50, Speech Commands; and strides.
_FRAMES, _STRIDES = (1024, 512, 128), (10, 12, 14, 16)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Names of a kind of state dict, without `.weight` and `.bias` of layers."""

    what: str
    tokens: tuple[str, str] = ("cls_token", "dist_token")
    positions: str = "pos_embed"
    patch: str = "patch_embed.proj"
    block: str = "blocks.{}."
    norms: tuple[str, str] = ("norm1", "norm2")
    qkv: tuple[str, ...] = ("attn.qkv",)
    out: str = "attn.proj"
    mlp: tuple[str, str] = ("mlp.fc1", "mlp.fc2")
    norm: str = "norm"
    head: tuple[str, str] | None = None  # norm and linear layer
    eps: tuple[float, float] = (1e-6, 1e-5)  # of the backbone, of the head
    prefix: str = ""
    ignored: tuple[str, ...] = ("head.", "head_dist.")  # after the prefix
    colours: int = 1  # of the stem
    described: bool = False  # by a config.json

    def body(self, name: str) -> str:
        """The whole name of something of the backbone."""
        return self.prefix + name

    def layers(self, depth: int, head: bool) -> list[str]:
        """All that have a weight and a bias."""
        inside = (*self.norms, *self.qkv, self.out, *self.mlp)
        names = [self.body(n) for n in (self.patch, self.norm)]
        for i in range(depth):
            names += [self.body(self.block.format(i) + name) for name in inside]
        return names + (list(self.head) if head and self.head else [])

    def depth(self, state: State) -> int:
        """How many blocks there are."""
        pattern = re.escape(self.body(self.block)).replace(r"\{\}", r"(\d+)")
        found = (re.match(pattern, name) for name in state)
        last = max((int(m[1]) for m in found if m), default=-1)
        return min(1 + last, len(state))  # A name may be any number.


DEIT = Layout(what="distilled DeiT", colours=3)
OWN = Layout(what="AST", prefix="v.", head=("mlp_head.0", "mlp_head.1"))
TRANSFORMERS = Layout(
    what="AST of transformers",
    tokens=("embeddings.cls_token", "embeddings.distillation_token"),
    positions="embeddings.position_embeddings",
    patch="embeddings.patch_embeddings.projection",
    block="encoder.layer.{}.",
    norms=("layernorm_before", "layernorm_after"),
    qkv=tuple(f"attention.attention.{name}" for name in ("query", "key", "value")),
    out="attention.output.dense",
    mlp=("intermediate.dense", "output.dense"),
    norm="layernorm",
    head=("classifier.layernorm", "classifier.dense"),
    ignored=(),
    described=True,
)
# What `state_dict()` has from version 5 on; its files keep the names above.
NEWER = dataclasses.replace(
    TRANSFORMERS,
    block="layers.{}.",
    qkv=tuple(f"attention.{name}_proj" for name in "qkv"),
    out="attention.o_proj",
    mlp=("mlp.fc1", "mlp.fc2"),
)


def layout_of(state: State) -> Layout:
    """The kind of a state dict, by its names."""
    prefix = "audio_spectrogram_transformer."
    for start in (prefix, ""):
        if any(name.startswith(f"{start}embeddings.") for name in state):
            newer = any(name.startswith(f"{start}layers.") for name in state)
            chosen = NEWER if newer else TRANSFORMERS
            return dataclasses.replace(chosen, prefix=start)
    return OWN if any(name.startswith("v.") for name in state) else DEIT


def _setting(settings: Mapping[str, Any], name: str) -> Any:
    if name not in settings:
        raise WeightsError(f"config.json lacks {name}: it is of another network")
    return settings[name]


def config_with(**fields: Any) -> AstConfig:
    """An architecture.

    Raises:
      WeightsError: Its sizes do not fit together.
    """
    try:
        return AstConfig(**fields)
    except ValueError as error:
        raise WeightsError(str(error)) from None


def config_of_settings(settings: Mapping[str, Any]) -> AstConfig:
    """The architecture of a `config.json`."""
    patch = _setting(settings, "patch_size")
    if isinstance(patch, Sequence):
        if len(set(patch)) != 1:
            raise WeightsError(f"config.json: patches of {patch} are not square")
        patch = patch[0]
    if settings.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"config.json: hidden_act {settings['hidden_act']!r}")
    if not settings.get("qkv_bias", True):
        raise WeightsError("config.json: qkv_bias false is not supported")
    try:
        return config_with(
            frames=_setting(settings, "max_length"),
            bands=_setting(settings, "num_mel_bins"),
            patch=patch,
            stride_t=_setting(settings, "time_stride"),
            stride_f=_setting(settings, "frequency_stride"),
            width=_setting(settings, "hidden_size"),
            depth=_setting(settings, "num_hidden_layers"),
            heads=_setting(settings, "num_attention_heads"),
            mlp=_setting(settings, "intermediate_size"),
            dropout=float(settings.get("hidden_dropout_prob", 0.0)),
            norm_eps=float(settings.get("layer_norm_eps", 1e-12)),
        )
    except (ValueError, TypeError) as error:
        raise WeightsError(f"config.json: {error}") from None


def config_of_shapes(
    state: State, layout: Layout, frames: int | None, bands: int | None
) -> tuple[AstConfig, tuple[int, int]]:
    """The architecture that arrays speak of, and the grid of their positions."""
    shapes = {name: value.shape for name, value in state.items()}
    first = layout.body(layout.block.format(0) + layout.mlp[0])
    table = shapes[layout.body(layout.positions)]
    kernel = shapes[layout.body(layout.patch) + ".weight"]
    mlp = shapes[f"{first}.weight"]
    if len(table) != 3 or table[1] < 3 or len(kernel) != 4 or len(mlp) != 2:
        raise WeightsError(
            f"this is no {layout.what}: positions of shape {table}, a stem of {kernel},"
            f" an MLP of {mlp}"
        )
    width, count = table[2], table[1] - 2
    sizes: dict[str, Any] = {
        "patch": kernel[-1],
        "width": width,
        "depth": layout.depth(state),
        "heads": max(1, width // _HEAD_WIDTH),
        "mlp": mlp[0],
        "norm_eps": layout.eps[0],
    }
    if layout.colours > 1:
        side = math.isqrt(count)
        if side * side != count:
            raise WeightsError(f"its {count} positions are no square picture's")
        size = {"frames": frames or 1024, "bands": bands or 128}
        return config_with(**sizes, **size), (side, side)
    heights = (128,) if bands in (None, 128) else (128, bands)
    wide = _FRAMES if frames is None else (*_FRAMES, frames)
    for stride in _STRIDES:
        for length in wide:
            for height in heights:
                config = config_with(
                    **sizes,
                    frames=length,
                    bands=height,
                    stride_t=stride,
                    stride_f=stride,
                )
                if math.prod(config.grid) == count:
                    return config, config.grid
    raise WeightsError(
        f"its {count} positions are those of no known size ({_FRAMES} frames of 128"
        f" bands, strides {_STRIDES}): give the frames and bands that it was made for"
    )


def labels_of(settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Class names in output order, of a `config.json`; None if it names none."""
    names = settings.get("id2label")
    if not names:
        return None
    try:
        by_number = {int(number): str(label) for number, label in names.items()}
    except (ValueError, AttributeError):
        raise WeightsError("config.json: id2label is no map from numbers") from None
    if sorted(by_number) != list(range(len(by_number))):
        raise WeightsError(
            f"config.json: the numbers of id2label are not 0 to {len(by_number) - 1}"
        )
    return tuple(by_number[number] for number in range(len(by_number)))


def target_of(
    settings: Mapping[str, Any] | None, head: Mapping[str, Any] | None
) -> Literal["single", "multi"]:
    """Whether a clip has one class: as a `config.json` says, else not of AudioSet."""
    kind = (settings or {}).get("problem_type")
    if kind is not None:
        return "multi" if kind == "multi_label_classification" else "single"
    classes = 0 if head is None else len(head["logits"]["bias"])
    return "multi" if classes == _AUDIOSET else "single"


def preprocessing_of(
    config: AstConfig, extractor: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the network takes in: filter banks, normalised as those of AudioSet."""
    found = {} if extractor is None else extractor
    mean, std = STATISTICS["audioset"]
    rate_hz = float(found.get("sampling_rate", 16000))
    # transformers lays out frames of 400 samples and bands up to 8 kHz whatever the
    # rate; of no snapshot is it another.
    if rate_hz != 16000:
        raise WeightsError(f"preprocessor_config.json: sampling_rate {rate_hz:g}")
    if not found.get("do_normalize", True):
        mean, std = 0.0, 0.5
    else:
        mean, std = found.get("mean", mean), found.get("std", std)
    fbank = FbankConfig(rate_hz=rate_hz, n_mels=config.bands)
    return {
        "fbank": dataclasses.asdict(fbank),
        "frames": config.frames,
        "mean": float(mean),
        "std": float(std),
    }
