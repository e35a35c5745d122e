"""A backbone of spectrograms and heads: which events are heard in a clip."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from sigjax.models.ast import Ast, AstConfig
from sigjax.models.dat import Dat, DatConfig
from sigjax.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioClassifierConfig:
    """Architecture of a classifier of clips.

    Attributes:
      heads: Name and number of classes of each head, such as `(("label", 50),)`, or
        `(("verb", 97), ("noun", 293))`. None for a backbone alone.
      ast: The backbone, if it is the audio spectrogram transformer.
      dat: The backbone, if it is a deformable audio transformer.
      head_norm: Layer norm before a head's linear layer: AST has one; DAT's features
        are means of positions that are normalised already.
      head_eps: Of that norm.
      head_dropout: Of the features, before the linear layer.
    """

    heads: tuple[tuple[str, int], ...] = ()
    ast: AstConfig | None = None
    dat: DatConfig | None = None
    head_norm: bool = True
    head_eps: float = 1e-5
    head_dropout: float = 0.0

    def __post_init__(self):
        """Refuses anything but one backbone, and heads that are none."""
        if (self.ast is None) == (self.dat is None):
            raise ValueError("exactly one backbone must be given: ast or dat")
        names = [name for name, _ in self.heads]
        if len(set(names)) < len(names) or any(n < 1 for _, n in self.heads):
            raise ValueError(
                f"heads need names of their own and classes, got {self.heads}"
            )

    @property
    def backbone(self) -> AstConfig | DatConfig:
        """The config of the backbone that there is."""
        found = self.ast or self.dat
        assert found is not None
        return found

    def head_name(self, name: str) -> str:
        """What a head's parameters are called: `head`, or of several `head_verb`."""
        return "head" if len(self.heads) == 1 else f"head_{name}"


class EventHead(nn.Module):
    """Features to class scores.

    Attributes:
      classes: How many.
      norm: Whether there is a layer norm.
      eps: Of the norm.
      dropout: Rate.
    """

    classes: int
    norm: bool
    eps: float
    dropout: float

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], train: bool) -> Float[Array, "b v"]:
        """Float32 logits, whatever the features are."""
        x = x.astype(jnp.float32)
        if self.norm:
            x = nn.LayerNorm(epsilon=self.eps, name="norm")(x)
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        return nn.Dense(self.classes, name="logits")(x)


class AudioClassifier(nn.Module):
    """Spectrograms to class scores.

    Parameters: `backbone` and `head`; with two heads `head_verb` and `head_noun`, by
    their names. Training draws from the streams `dropout`, `drop_path` and `noise`.

    Attributes:
      config: The architecture.
    """

    config: AudioClassifierConfig

    def setup(self):
        """Builds all parts."""
        c = self.config
        backbone = c.backbone
        is_ast = isinstance(backbone, AstConfig)
        self.backbone = Ast(backbone) if is_ast else Dat(backbone)
        for name, count in c.heads:
            head = EventHead(count, c.head_norm, c.head_eps, c.head_dropout)
            setattr(self, c.head_name(name), head)

    def features(
        self, x: Float[Array, "b t f"], train: bool = False
    ) -> Float[Array, "b d"]:
        """What the heads see of normalised spectrograms."""
        return self.backbone(x, train)

    def __call__(
        self, x: Float[Array, "b t f"], train: bool = False
    ) -> dict[str, Float[Array, "b _"]]:
        """Class scores of clips.

        Args:
          x: Normalised spectrograms, time first.
          train: Whether to drop paths and units, and to add the backbone's noise.

        Returns:
          Float32 logits `[b, v]` by the name of the head.
        """
        c, found = self.config, self.features(x, train)
        return {
            name: getattr(self, c.head_name(name))(found, train) for name, _ in c.heads
        }
