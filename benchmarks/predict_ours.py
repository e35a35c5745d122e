"""sigjax's side of `benchmarks.predict`, in a fresh process.

python -m benchmarks.predict_ours TASK FILE
"""

import dataclasses
import pathlib
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import prepare_child
from launch.predict import predict_files
from sigjax import export
from sigjax.data.formats import DEFAULT
from sigjax.data.wearable.prepare import PRESETS
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig

LABELS = ("bicycling", "mixed", "sit-stand", "sleep", "vehicle", "walking")
# The paper's encoder, 9.9 M parameters, and a linear head.
CONFIG = WindowClassifierConfig(
    patch_samples=300,
    channels=3,
    pool=1,
    head=HeadConfig(kind="linear", classes=len(LABELS)),
    mae=MaeConfig(patch_size=900, width=256, depth=12, num_heads=4, mlp_dim=680),
)


def _bundle(path: str) -> pathlib.Path:
    return pathlib.Path(path).parent / "bundle"


def bundle(path: str) -> dict:
    """Writes the classifier, weights drawn at random, beside the file."""
    init = jax.jit(WindowClassifier(CONFIG).init)
    params = init(jax.random.key(0), jnp.zeros((1, 90_000, 3)))["params"]
    export.save(
        _bundle(path),
        model="window_classifier",
        params=params,
        model_config=CONFIG,
        signal=export.SignalConfig(
            rate_hz=30.0,
            channels=3,
            units="g",
            window_s=3000.0,
            patch_s=10.0,
            label_s=10.0,
        ),
        preprocessing={
            **dataclasses.asdict(PRESETS["paper"]),
            "read": DEFAULT.to_json(),
        },
        source_run={"weights": "random"},
        labels=LABELS,
    )
    return {"parameters": sum(leaf.size for leaf in jax.tree.leaves(params))}


def predict(path: str) -> dict:
    """All that launch.predict does with a file."""
    with tempfile.TemporaryDirectory() as folder:
        (record,) = predict_files([path], _bundle(path), folder)["records"]
    return {"parts": record["seconds"], "rows": record["rows"]}


def model(path: str) -> dict:
    """The model alone, on as many windows of noise as a week has, compiled before."""
    del path
    found = export.load(_bundle(sys.argv[2]))
    assert isinstance(found, export.ClassifierModel)
    samples = 7 * 86_400 * 30
    x = np.random.default_rng(0).normal(size=(samples, 3)).astype(np.float32)
    found.classify(x[: 8 * 90_000])
    cpu, began = time.process_time(), time.perf_counter()
    rows = len(found.classify(x))
    spent = time.perf_counter() - began
    return {"model_s": spent, "model_cpu_s": time.process_time() - cpu, "rows": rows}


def floor(path: str) -> dict:
    """What the model's products cost at the rate of a large product, on all cores."""
    del path
    c = CONFIG.mae
    assert c is not None
    tokens, window = 7 * 8640, 300
    per_token = c.patch_size * c.width + c.depth * (
        4 * c.width**2 + 3 * c.width * c.mlp_dim
    )
    attention = c.depth * 2 * window * c.width
    gflop = 2 * tokens * (per_token + attention) / 1e9
    x = jnp.ones((4096, 4096))
    product = jax.jit(lambda x: x @ x)
    rates = []
    for _ in range(6):
        began = time.perf_counter()
        product(x).block_until_ready()
        rates.append(2 * 4.096**3 / (time.perf_counter() - began))
    return {
        "gflop": gflop,
        "gflop_attention": 2 * tokens * attention / 1e9,
        "gflop_per_s": max(rates),
        "floor_s": gflop / max(rates),
    }


if __name__ == "__main__":
    tasks = {"bundle": bundle, "predict": predict, "model": model, "floor": floor}
    prepare_child.run(tasks[sys.argv[1]], sys.argv[2])
