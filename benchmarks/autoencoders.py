"""Autoencoders: training steps against PyTorch, detectors against pyod's AutoEncoder.

    python -m benchmarks.autoencoders [--cases=conv,log_mel,vae,scoring,fit]
        [--peer_python=PYTHON] [--pyod_python=PYTHON]

A training step is of 128 examples on the device, Adam at 1e-3, full float32 products:

- `conv`: the convolutional autoencoder of the slides, 28-10-5-3-2-5-15-28, squared
  error.
- `log_mel`: pictures of 64 frames and bands, 3x3 convolutions to 16, 32 and 64
  channels with batch norm, a code of 64, and back.
- `vae`: 784-400-20-400-784, Bernoulli likelihood and divergence.

A turn is of `--steps` steps, and training goes on from turn to turn: what `steps` of 50
measures are the first few hundred, 300 the first two thousand. In those PyTorch's steps
of the variational one get slower, as numbers of Adam's state go below the smallest
normal one; XLA counts those as 0, and with `--flush_denormals` PyTorch does, too.

Both sides start from the same weights; `difference` is the relative difference of their
losses before the first step and, where nothing is drawn, after it.

`scoring` is rows a second of `AutoencoderDetector.anomaly_score` and of pyod's
`decision_function`, from the host's memory and to it, with its default batch of 32 and,
in a line of its own, with 4,096. Networks are d-64-32-32-64-d with batch norm; pyod's
have dropout, too, which does nothing there. `fit` is rows a second of ten epochs with
batches of 32, pyod's default: ours with the calibration of its threshold, after one
that compiled it.
"""

import dataclasses
import functools
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import harness, torch_peer, training_step
from sigjax.inference.anomaly_detector import AutoencoderDetector
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.models.autoencoder_layouts import autoencoder_of
from sigjax.nn.stack import Layer
from sigjax.tasks.reconstruction import Reconstruction, ReconstructionConfig
from sigjax.train.optim import OptimConfig

BATCH = 128
_OPTIM = OptimConfig(
    name="adamw",
    learning_rate=1e-3,
    schedule="constant",
    warmup_epochs=0.0,
    weight_decay=0.0,
    clip_norm=None,
)


def conv() -> tuple[AutoencoderConfig, ReconstructionConfig]:
    """The slides' convolutional autoencoder."""

    def layer(kind: Any, width: int, taps: int, stride: int, padding: int, act: Any):
        return Layer(
            kind=kind,
            width=width,
            taps=taps,
            stride=stride,
            padding=padding,
            activation=act,
        )

    network = AutoencoderConfig(
        input_shape=(28, 28, 1),
        encoder=(
            layer("conv", 16, 3, 3, 1, "relu"),
            Layer(kind="max_pool", taps=2, stride=2),
            layer("conv", 8, 3, 2, 1, "relu"),
            Layer(kind="max_pool", taps=2, stride=1),
        ),
        decoder=(
            layer("transposed_conv", 16, 3, 2, 0, "relu"),
            layer("transposed_conv", 8, 5, 3, 1, "relu"),
            layer("transposed_conv", 1, 2, 2, 1, "tanh"),
        ),
    )
    return network, ReconstructionConfig()


def log_mel() -> tuple[AutoencoderConfig, ReconstructionConfig]:
    """A convolutional autoencoder of spectrograms."""
    network = autoencoder_of("conv", (64, 64, 1), widths=(16, 32, 64), code=64)
    return network, ReconstructionConfig()


def vae() -> tuple[AutoencoderConfig, ReconstructionConfig]:
    """The slides' variational autoencoder."""
    network = autoencoder_of(
        "dense", (784,), widths=(400,), code=20, latent="gaussian", norm="none"
    )
    return network, ReconstructionConfig(likelihood="bernoulli")


STEPS: dict[str, Callable[[], tuple[AutoencoderConfig, ReconstructionConfig]]] = {
    "conv": conv,
    "log_mel": log_mel,
    "vae": vae,
}


def step_line(name: str, args: Any, device: str) -> dict[str, Any]:
    """A network's training step on both sides."""
    model, objective = STEPS[name]()
    shape = (args.batch, *model.input_shape)
    x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    ours = training_step.TimedStep(Reconstruction(model, objective), _OPTIM, {"x": x})
    first, *after = _first_losses(model, objective, x)
    with tempfile.TemporaryDirectory() as folder:
        _write(pathlib.Path(folder), model, objective, x, args)
        flags = ["--folder", folder, "--steps", args.steps]
        module = "benchmarks.autoencoders_torch"
        peer = torch_peer.start(module, flags, args.peer_python)
    ours.refuse_other(peer)
    case = harness.Case(
        name="autoencoders",
        case=f"step, {name}, batch {args.batch}",
        ours=functools.partial(ours.run, args.steps),
        peer=torch_peer.side(peer),
        unit="s",
        extras={
            "parameters": ours.parameters,
            "steps": args.steps,
            "flush_denormals": bool(args.flush_denormals),
        },
    )
    line = harness.measure(case, device=device, repeats=args.repeats)
    if peer is None:
        return {**line, "peer": None, "ratio": None}
    own = [first] if model.code == "gaussian" else [first, *after]
    theirs = peer.about["losses"][: len(own)]
    if model.code == "gaussian":  # Another draw of the code: no more than near.
        line["difference_drawn"] = float(f"{abs(own[0] / theirs[0] - 1):.1e}")
    else:
        pairs = zip(own, theirs, strict=True)
        line["difference"] = float(f"{max(abs(a / b - 1) for a, b in pairs):.1e}")
    line |= {"torch": peer.about["torch"]}
    peer.close()
    return line


def _training(model: AutoencoderConfig, objective: ReconstructionConfig):
    """State and step that begin as those of `TimedStep`."""
    from sigjax.train.optim import make_optimizer
    from sigjax.train.step import make_init, make_train_step

    task = Reconstruction(model, objective)
    optimizer = make_optimizer(_OPTIM, steps_per_epoch=100, total_steps=1000)
    return jax.jit(make_init(task, optimizer)), jax.jit(
        make_train_step(task, optimizer)
    )


def _first_losses(
    model: AutoencoderConfig, objective: ReconstructionConfig, x: np.ndarray
) -> list[float]:
    """Before the first step, and after it."""
    init, step = _training(model, objective)
    state, losses = init(jax.random.key(0), {"x": x}), []
    for _ in range(2):
        state, metrics = step(state, {"x": x})
        losses.append(float(metrics["loss"]))
    return losses


def _write(
    folder: pathlib.Path,
    model: AutoencoderConfig,
    objective: ReconstructionConfig,
    x: np.ndarray,
    args: Any,
) -> None:
    """What the peer reads: network, weights and batch."""
    init, _ = _training(model, objective)
    params = jax.device_get(init(jax.random.key(0), {"x": x}).params)
    found = {
        f"{half}/{layer}/{name}": value
        for half, layers in params.items()
        for layer, values in layers.items()
        for name, value in values.items()
        if name != "norm"  # Ones and zeros on both sides.
    }
    np.savez(folder / "weights.npz", **found)
    np.save(folder / "batch.npy", x)
    told = {
        "model": dataclasses.asdict(model),
        "channels_last": bool(args.channels_last),
        "flush_denormals": bool(args.flush_denormals),
    }
    (folder / "network.json").write_text(json.dumps(told))


def rows_of(count: int, width: int) -> np.ndarray:
    """Points near a subspace, float32 `[count, width]`."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(8, width))
    x = rng.normal(size=(count, 8)) @ mix + 0.1 * rng.normal(size=(count, width))
    return x.astype(np.float32)


def detector_lines(args: Any, device: str) -> Iterator[dict[str, Any]]:
    """Scoring and fitting beside pyod."""
    train, new = rows_of(args.rows // 10, args.width), rows_of(args.rows, args.width)
    detector = AutoencoderDetector(
        widths=(64, 32), code=32, epochs=10, batch_size=32
    ).fit(train)
    with tempfile.TemporaryDirectory() as folder:
        np.save(pathlib.Path(folder) / "train.npy", train)
        np.save(pathlib.Path(folder) / "new.npy", new)
        module = "benchmarks.autoencoders_peer"
        peer = torch_peer.start(module, ["--folder", folder], args.pyod_python)
    extras: dict[str, Any] = {"width": args.width}
    if peer is not None:
        extras |= {name: peer.about[name] for name in ("pyod", "torch")}

    def line(case: str, ours: Callable[[], Any], what: str, work: int):
        def run() -> None:
            ours()

        case = f"{case}, {work:,} rows of {args.width}"
        found = harness.measure(
            harness.Case(
                name="autoencoders",
                case=case,
                ours=run,
                peer=torch_peer.side(peer, what),
                unit="rows/s",
                work=work,
                extras=extras,
            ),
            device=device,
            repeats=args.repeats,
        )
        return found if peer else {**found, "peer": None, "ratio": None}

    names = args.cases.split(",")
    if "scoring" in names:
        score = functools.partial(detector.anomaly_score, new)
        yield line("scoring, pyod's batch 32", score, "32", len(new))
        yield line("scoring, pyod's batch 4096", score, "4096", len(new))
    if "fit" in names:
        fit = functools.partial(detector.fit, train)
        yield line("fit, 10 epochs, batch 32", fit, "fit", 10 * len(train))
    if peer is not None:
        peer.close()


def lines(args: Any) -> Iterator[dict[str, Any]]:
    """A line for each case."""
    device, names = training_step.device(), args.cases.split(",")
    for name in STEPS:
        if name in names:
            yield step_line(name, args, device)
    if {"scoring", "fit"} & set(names):
        yield from detector_lines(args, device)


def main() -> None:
    """Measures all cases."""
    flags = harness.parser(__doc__)
    known = [*STEPS, "scoring", "fit"]
    flags.add_argument("--cases", default=",".join(known))
    flags.add_argument("--batch", type=int, default=BATCH)
    flags.add_argument("--steps", type=int, default=50, help="in a turn")
    flags.add_argument("--rows", type=int, default=100_000, help="that are scored")
    flags.add_argument("--width", type=int, default=64, help="of a row")
    flags.add_argument("--channels_last", action="store_true", help="in PyTorch")
    flags.add_argument("--flush_denormals", action="store_true", help="in PyTorch")
    flags.add_argument("--peer_python", help="a Python that has torch")
    flags.add_argument("--pyod_python", help="a Python that has pyod and torch")
    args = flags.parse_args()
    odd = set(args.cases.split(",")) - set(known)
    if odd:
        flags.error(f"--cases is of {', '.join(known)}, not {', '.join(sorted(odd))}")
    harness.report(lines(args), out=args.out)


if __name__ == "__main__":
    main()
