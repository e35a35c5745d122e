"""A small classifier with random weights, as a bundle."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np

from sigjax import export
from sigjax.data.formats import DEFAULT
from sigjax.data.wearable.prepare import PRESETS
from sigjax.models.harnet import HarNetConfig
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig

LABELS = ("sleep", "sit", "walk")
PREPROCESSING = {
    **dataclasses.asdict(PRESETS["paper"]),
    "read": DEFAULT.to_json(),
}


def signal(**changes) -> export.SignalConfig:
    """One minute of 30 Hz in patches of 5 s and labels of 10 s."""
    values = dict(rate_hz=30.0, channels=3, units="g", window_s=60.0, patch_s=5.0)
    return export.SignalConfig(**{**values, "label_s": 10.0, **changes})


def mae_config(patch_samples=150) -> MaeConfig:
    return MaeConfig(
        patch_size=3 * patch_samples, width=16, depth=1, num_heads=2, mlp_dim=16
    )


def classifier_config(**changes) -> WindowClassifierConfig:
    values = dict(patch_samples=150, channels=3, pool=2, mae=mae_config())
    values["head"] = HeadConfig(kind="linear", classes=len(LABELS), standardise=True)
    return WindowClassifierConfig(**{**values, **changes})


def harnet_config() -> HarNetConfig:
    """Two stages, for patches of 10 s."""
    return HarNetConfig(widths=(4, 8), blocks=(1, 0), factors=(20, 15), orders=(0, 0))


def random_variables(module, x):
    """Like `module.init`, but without compiling anything, and never all alike."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if path[0].key != "params":  # means and variances
            return np.float32(rng.uniform(0.5, 1.5, leaf.shape))
        if path[-1].key == "bias":
            return np.zeros(leaf.shape, np.float32)
        fan_in = np.prod(leaf.shape[-2:-1] or (1,))
        return np.float32(rng.normal(size=leaf.shape) / np.sqrt(fan_in))

    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    return dict(jax.tree_util.tree_map_with_path(draw, shapes))


def write_bundle(path, config=None, **changes):
    """Writes a bundle of random weights; returns its path."""
    config = config or classifier_config()
    x = jnp.zeros((1, config.label_samples, config.channels))
    variables = random_variables(WindowClassifier(config), x)
    params = variables.pop("params")
    values = dict(
        model="window_classifier",
        params=params,
        state=variables,
        model_config=config,
        signal=signal(),
        preprocessing=PREPROCESSING,
        source_run={"step": 1},
        labels=LABELS,
    )
    export.save(path, **{**values, **changes})
    return path


def edited(path, to, **changes):
    """A copy of a bundle with other entries in its `bundle.json`; returns its path."""
    shutil.copytree(path, to)
    info = json.loads((to / "bundle.json").read_text())
    (to / "bundle.json").write_text(json.dumps({**info, **changes}))
    return to
