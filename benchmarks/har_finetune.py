"""Training a head on a frozen encoder, against the same work in PyTorch.

    python -m benchmarks.har_finetune [--peer_python=PYTHON] [--epochs=70]

Figures are epochs per minute over 50-minute windows of simulated signal; the paper
trains 70 epochs (Lorenzen et al. 2025). Ours is a whole run as `launch.finetune` does
it: int16 windows through the encoder once, tokens kept as float16 in host memory, then
`--epochs` epochs of the head's steps on shuffled batches. Not timed: compiling, which
both sides do before, reading files and evaluation. Each case has two lines:

- `encoder every epoch`: the peer is a loop as one plainly writes it, the encoder
  without gradients in every step. Its epochs cost the same, so one is timed.
- `peer caches too`: the peer keeps tokens as well. What remains is the encoder's and
  the head's own speed.

On CPU float32; on GPU the encoder in bfloat16, the head in float32, on both sides.
`embed_s` is our encoder over all windows, `head_epoch_s` one epoch of the head.
"""

import dataclasses
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import harness, torch_peer
from benchmarks.mae_step import PAPER
from sigjax.losses.classification import class_weights
from sigjax.models.harnet import HarNetConfig
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig
from sigjax.signal.patches import dequantise
from sigjax.tasks.classification import HeadClassification
from sigjax.train.optim import OptimConfig, make_optimizer
from sigjax.train.step import make_init, make_train_step

CLASSES, PATCHES, PATCH = 6, 300, 300
SCALE = np.float32(1 / 4096)
# Encoder, head, windows and batch on CPU. HARNet takes 1 s for each window there.
CASES = {
    "mae-linear": ("mae", "linear", 64, 16),
    "harnet10-mlp": ("harnet10", "mlp", 8, 8),
    "mae-lstm": ("mae", "lstm", 16, 16),
}
_ENCODERS: dict[str, Any] = {
    "mae": {"mae": MaeConfig(**PAPER)},
    "harnet10": {"harnet": HarNetConfig()},
}


def make_windows(count: int, patches: int = PATCHES) -> dict[str, Any]:
    """Noise for signal, and a label of six for each patch; a third has none."""
    rng = np.random.default_rng(0)
    counts = rng.normal(0, 1500, (count, patches * PATCH, 3)).astype(np.int16)
    label = rng.integers(0, CLASSES, (count, patches)).astype(np.int32)
    weight = class_weights(np.bincount(label.ravel(), minlength=CLASSES))
    label[rng.random(label.shape) < 1 / 3] = -1
    return {"counts": counts, "scale": SCALE, "label": label, "weight": weight}


class Finetuning:
    """Our side: encoder, head and the windows."""

    def __init__(
        self,
        model: WindowClassifierConfig,
        windows: dict[str, Any],
        *,
        batch: int,
        epochs: int,
    ):
        """Draws an encoder; compiles nothing yet."""
        self.windows, self.batch, self.epochs = windows, batch, epochs
        module = WindowClassifier(model)
        x = jnp.zeros((1, model.label_samples, model.channels))
        init = jax.jit(lambda key: module.init(key, x, method=WindowClassifier.encode))
        self.variables = init(jax.random.key(0))

        @jax.jit
        def embed(variables, counts, scale):
            signal = dequantise(counts, scale)
            return module.apply(variables, signal, method=WindowClassifier.encode)

        self._embed = embed
        task = HeadClassification(model.head, windows["weight"])
        config = OptimConfig(
            name="adamw",
            learning_rate=1e-3,
            schedule="constant",
            weight_decay=0.0,
            clip_norm=None,
        )
        steps = -(-len(windows["label"]) // batch)
        optimizer = make_optimizer(
            config, steps_per_epoch=steps, total_steps=steps * epochs
        )
        self._init = jax.jit(make_init(task, optimizer))
        self._step = jax.jit(make_train_step(task, optimizer), donate_argnums=0)
        self.embed_s = self.head_epoch_s = float("nan")

    def count(self, tree: Any) -> int:
        """Parameters of a tree."""
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    def embed(self) -> np.ndarray:
        """Tokens of all windows, float16 `[w, n, d]`."""
        counts, parts = self.windows["counts"], []
        scale = np.full(self.batch, self.windows["scale"])
        for start in range(0, len(counts), self.batch):
            some = counts[start : start + self.batch]
            tokens = self._embed(self.variables, some, scale[: len(some)])
            parts.append(np.asarray(tokens, np.float16))
        return np.concatenate(parts)

    def batch_of(self, tokens: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """A batch as `TokenWindows.read` makes it."""
        length = np.full(len(rows), tokens.shape[1], np.int32)
        label = self.windows["label"][rows]
        return {"tokens": tokens[rows], "length": length, "label": label}

    def run(self) -> float:
        """Seconds per epoch of a whole run, the encoder's pass included."""
        rng = np.random.default_rng(0)
        start = time.perf_counter()
        tokens = self.embed()
        embedded = time.perf_counter()
        first = self.batch_of(tokens, np.arange(min(self.batch, len(tokens))))
        state, metrics = self._init(jax.random.key(0), first), {}
        self.head = self.count(state.params)
        for _ in range(self.epochs):
            order = rng.permutation(len(tokens))
            for at in range(0, len(order), self.batch):
                rows = order[at : at + self.batch]
                state, metrics = self._step(state, self.batch_of(tokens, rows))
        if not np.isfinite(jax.device_get(metrics["loss"])):  # and waits
            raise FloatingPointError("the loss is not finite")
        end = time.perf_counter()
        self.embed_s = embedded - start
        self.head_epoch_s = (end - embedded) / self.epochs
        return (end - start) / self.epochs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """One comparison's sizes."""

    encoder: str
    head: str
    windows: int
    batch: int
    epochs: int
    hidden: int = 512

    @property
    def model(self) -> WindowClassifierConfig:
        """Encoder and head."""
        head: Any = self.head
        return WindowClassifierConfig(
            patch_samples=PATCH,
            channels=3,
            pool=1,
            head=HeadConfig(kind=head, classes=CLASSES, hidden=self.hidden),
            **_ENCODERS[self.encoder],
        )


def compare(work: Work, args: Any, device: str, folder: str) -> Iterator[dict]:
    """Both lines of one case."""
    windows = make_windows(work.windows)
    ours = Finetuning(work.model, windows, batch=work.batch, epochs=work.epochs)
    saved = pathlib.Path(folder) / "windows.npz"
    np.savez(saved, **windows)
    flags = {"windows": saved, "encoder": work.encoder, "head": work.head}
    flags |= {"batch": work.batch, "epochs": work.epochs, "hidden": work.hidden}
    peer = torch_peer.start(
        "benchmarks.har_finetune_torch",
        [f"--{name}={value}" for name, value in flags.items()],
        args.peer_python,
    )
    ours.run()  # compiles
    if peer is not None:
        _check_sizes(ours, peer.about)
    for what, text in (
        ("plain", "encoder every epoch"),
        ("cached", "peer caches too"),
    ):
        case = harness.Case(
            name="har_finetune",
            case=f"{work.encoder} {work.head}, {text}",
            ours=ours.run,
            peer=torch_peer.side(peer, what),
            unit="epochs/min",
            work=60,
            extras={
                "windows": work.windows,
                "batch": work.batch,
                "epochs": work.epochs,
            },
        )
        line = harness.measure(case, device=device, repeats=args.repeats)
        line["embed_s"] = round(ours.embed_s, 3)
        line["head_epoch_s"] = round(ours.head_epoch_s, 4)
        if peer is None:
            line |= {"peer": None, "ratio": None}
        yield line
    if peer is not None:
        peer.close()


def _check_sizes(ours: Finetuning, theirs: dict[str, Any]) -> None:
    params = ours.variables["params"]["encoder"]
    encoder = ours.count({k: v for k, v in params.items() if k != "head"})
    for name, mine in (("encoder", encoder), ("head", ours.head)):
        if mine != theirs[name]:
            raise ValueError(f"the {name}s differ in size: {mine}, {theirs[name]}")


def main() -> None:
    """Measures every case."""
    flags = harness.parser(__doc__)
    gpu = jax.default_backend() == "gpu"
    flags.set_defaults(repeats=3)
    flags.add_argument("--epochs", type=int, default=70)
    flags.add_argument(
        "--cases",
        default="mae-linear,harnet10-mlp",
        help=f"of {', '.join(CASES)}; with an LSTM the head is most of the work",
    )
    flags.add_argument("--windows", type=int, default=2048 if gpu else None)
    flags.add_argument("--batch", type=int, default=64 if gpu else None)
    flags.add_argument("--peer_python", help="a Python that has torch")
    args = flags.parse_args()
    kind = jax.devices()[0].device_kind if gpu else f"{harness.cpu()} x{os.cpu_count()}"
    device = f"{jax.default_backend()}:{kind} jax {jax.__version__}"

    def lines() -> Iterator[dict]:
        with tempfile.TemporaryDirectory() as folder:
            for name in args.cases.split(","):
                encoder, head, windows, batch = CASES[name]
                work = Work(
                    encoder=encoder,
                    head=head,
                    windows=args.windows or windows,
                    batch=args.batch or batch,
                    epochs=args.epochs,
                )
                yield from compare(work, args, device, folder)

    harness.report(lines(), out=args.out)


if __name__ == "__main__":
    main()
