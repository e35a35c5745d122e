"""How large the study's networks are, and how all of them are trained."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from launch.audio_events.study_data import CLIP_S
from sigjax.models.ast import AstConfig, ast_size
from sigjax.models.audio_classifier import AudioClassifierConfig
from sigjax.models.dat import DatConfig, dat_size
from sigjax.signal.fbank import FbankConfig
from sigjax.tasks.audio_events import AudioEventsConfig
from sigjax.train.averaging import AveragingConfig
from sigjax.train.optim import OptimConfig

# Table 4 of the paper: what is changed of a deformable transformer.
DEFORMABLE: Mapping[str, Mapping[str, Any]] = {
    "without": {"deformable": False},
    "with": {},
    "gaussian": {"input_noise": "gaussian", "noise_scale": 0.005},
    "laplace": {"input_noise": "laplace", "noise_scale": 0.005},
    "adaptor_0.2": {"adaptor_strength": 0.2},
    "adaptor_0.005": {"adaptor_strength": 0.005},
}
AST, PLAIN = "ast", "plain"
VARIANTS = (*DEFORMABLE, AST, PLAIN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training for all variants; chosen by `--validate`, see the results' page.

    Attributes:
      epochs: How long.
      batch: Clips in a step.
      learning_rate: Of AdamW, after the warm-up; then half a cosine down to 0.
      warmup_epochs: Linear.
      weight_decay: On kernels.
      average: Decay of the exponential moving average of the weights that is scored.
      shift: Whether clips begin anywhere, their beginning following on their end.
      gain_db: Each clip is made louder or softer by up to so much.
      mixup: Share of the clips of a step that are mixed with another.
      mixup_alpha: Of Mixup's Beta.
      time_mask: Widest mask of SpecAugment, as a share of the frames.
      band_mask: Likewise, of the bands.
      masks: Of each kind.
      label_smoothing: Share of a target that is spread over all classes.
      drop_path: Of the last block.
      shifts: A clip is scored so many times, begun at other places; scores are means.
    """

    epochs: int
    batch: int
    learning_rate: float
    warmup_epochs: float
    weight_decay: float
    average: float
    shift: bool
    gain_db: float
    mixup: float
    mixup_alpha: float
    time_mask: float
    band_mask: float
    masks: int
    label_smoothing: float
    drop_path: float
    shifts: int

    @property
    def says(self) -> str:
        """All of it in a line."""
        return (
            f"From scratch, all variants alike: {self.epochs} epochs in steps of"
            f" {self.batch} clips, AdamW at {self.learning_rate:g}"
            f" (decay {self.weight_decay:g}, warm-up {self.warmup_epochs:g} epochs,"
            f" cosine), weights averaged ({self.average:g}), random start of the clip"
            f"{f' and level (±{self.gain_db:g} dB)' if self.gain_db else ''},"
            f" Mixup of {self.mixup:.0%} (Beta {self.mixup_alpha:g}), SpecAugment"
            f" {self.masks} x {self.time_mask:.0%} of time and {self.band_mask:.0%} of"
            f" bands, label smoothing {self.label_smoothing:g}, drop path"
            f" {self.drop_path:g}; scores are means over {self.shifts} starts of a clip"
        )

    @property
    def optim(self) -> OptimConfig:
        """As the training loop's optimizers are described."""
        return OptimConfig(
            name="adamw",
            learning_rate=self.learning_rate,
            schedule="cosine",
            warmup_epochs=self.warmup_epochs,
            weight_decay=self.weight_decay,
            averaging=AveragingConfig(kind="ema", decay=self.average),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """Networks of one size.

    Attributes:
      says: In words, for the page.
      fbank: What they see.
      frames: Of it.
      dat: The deformable transformer of drop path and Table 4's changes.
      ast: The audio spectrogram transformer of drop path.
      recipe: How all are trained.
    """

    says: str
    fbank: FbankConfig
    frames: int
    dat: Callable[..., DatConfig]
    ast: Callable[..., AstConfig]
    recipe: Recipe

    def model(self, variant: str, classes: int) -> AudioClassifierConfig:
        """The network of a variant."""
        given: dict[str, Any] = {"drop_path": self.recipe.drop_path}
        heads = (("label", classes),)
        if variant == AST:
            given |= {"frames": self.frames, "bands": self.fbank.n_mels}
            return AudioClassifierConfig(heads=heads, ast=self.ast(**given))
        given |= DEFORMABLE[variant]
        # Its features are means of positions that are normalised already.
        return AudioClassifierConfig(
            heads=heads, dat=self.dat(**given), head_norm=False
        )

    @property
    def task(self) -> AudioEventsConfig:
        """What they see of clips, and what becomes of these in training."""
        recipe = self.recipe
        return AudioEventsConfig(
            target="single",
            fbank=self.fbank,
            window_s=CLIP_S,
            frames=self.frames,
            mixup=recipe.mixup,
            mixup_alpha=recipe.mixup_alpha,
            time_mask=round(recipe.time_mask * self.frames),
            band_mask=round(recipe.band_mask * self.fbank.n_mels),
            masks=recipe.masks,
            label_smoothing=recipe.label_smoothing,
        )


_RECIPE = Recipe(
    epochs=40,
    batch=16,
    learning_rate=1e-3,
    warmup_epochs=4.0,
    weight_decay=0.05,
    average=0.99,
    shift=True,
    gain_db=0.0,
    mixup=0.5,
    mixup_alpha=10.0,
    time_mask=0.2,
    band_mask=0.2,
    masks=1,
    label_smoothing=0.1,
    drop_path=0.1,
    shifts=4,
)
_COARSE = FbankConfig(n_mels=64, shift_ms=20.0)

SIZES: Mapping[str, Size] = {
    "nano": Size(
        says="a pyramid of the paper's form, a sixth as wide as DAT-T (0.56 million"
        " parameters), on 64 bands every 20 ms; it is none of the paper's networks",
        fbank=_COARSE,
        frames=256,
        dat=functools.partial(
            DatConfig,
            variant="v1",
            widths=(16, 32, 64, 128),
            blocks=("L", "S", "LD", "LD"),
            heads=(1, 2, 4, 8),
            groups=(1, 1, 2, 4),
            convention="text",
            # 7 does not divide these maps: half of what is computed would be padding.
            window=4,
            shift=2,
        ),
        ast=functools.partial(
            ast_size,
            "tiny",
            width=96,
            heads=3,
            mlp=384,
            depth=4,
            stride_t=16,
            stride_f=16,
        ),
        recipe=_RECIPE,
    ),
    "tiny": Size(
        says="DATAR on DAT-T, AST-tiny, 128 bands every 10 ms",
        fbank=FbankConfig(),
        frames=512,
        dat=functools.partial(dat_size, "v1", "tiny", convention="text"),
        ast=functools.partial(ast_size, "tiny"),
        recipe=dataclasses.replace(_RECIPE, epochs=100, learning_rate=5e-4),
    ),
    "smoke": Size(
        says="one epoch: whether it runs, not what it finds",
        fbank=FbankConfig(n_mels=32, shift_ms=40.0),
        frames=128,
        dat=functools.partial(
            DatConfig,
            variant="v1",
            widths=(4, 8),
            blocks=("L", "D"),
            heads=(1, 2),
            groups=(1, 1),
            strides=(1, 1),
            taps=(5, 5),
            convention="text",
        ),
        ast=functools.partial(
            ast_size,
            "tiny",
            width=8,
            heads=1,
            mlp=8,
            depth=1,
            stride_t=16,
            stride_f=16,
        ),
        recipe=dataclasses.replace(
            _RECIPE, epochs=1, batch=4, shifts=2, warmup_epochs=0.1
        ),
    ),
}
