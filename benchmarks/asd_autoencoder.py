"""The baseline autoencoder's scores beside those of the recipe in PyTorch.

    python -m benchmarks.asd_autoencoder [--seeds=3] [--peer_python=PYTHON]

Both sides train on the same SIMULATED sounds, one model a machine with each seed, and
score the same clips. Ours is configs/asd_autoencoder.py through `launch.pretrain` and
the back-ends of `launch.evaluate`; the peer is `benchmarks.asd_autoencoder_peer`.
Figures are the mean of the 2021 rule (harmonic mean of AUC and pAUC over sections and
domains), mean over seeds. `difference` is ours less the peer's with `low` and `high`,
the 95 % interval of Welch's t over seeds; `ours_sd` and `peer_sd` are over seeds too.
The score that differs between the sides only by noise has an interval around 0: how
wide it is says how much a real difference could be. `train_s` and `peer_train_s` are
seconds of a training, beside whatever else the machine does.
"""

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import scipy.stats

from benchmarks import harness
from configs import asd_autoencoder
from launch.pretrain import pretrain
from launch.sounds.scoring import Part, score_part
from launch.systems import runs_of
from sigjax.evals import dcase

_OURS = {"mean squared error": "mse", "selective_mahalanobis": "selective_mahalanobis"}


def config_of(args: Any, machine: str, seed: int) -> Any:
    """The recipe, on simulated sounds of one machine."""
    c: Any = asd_autoencoder.get_config()
    c.seed = c.data.seed = seed
    c.data.simulate = dict(
        machines=(machine,),
        sections=("00", "01"),
        train_source=args.clips,
        train_target=3,
        test_normal=args.test,
        test_anomaly=args.test,
        clip_s=10.0,
        seed=0,
    )
    c.train.epochs *= args.epochs / 100
    c.train.checkpoint_every, c.train.log_every = 10**6, 500
    return c


def mean_of(clips: list[Any], value: np.ndarray) -> float:
    """The mean of the 2021 rule over clips of one machine."""
    columns = ("machine", "section", "domain")
    text = {name: np.array([getattr(c, name) for c in clips]) for name in columns}
    label = np.array([clip.label for clip in clips])
    scores = dcase.ClipScores(**text, label=label, score=value)
    return dcase.score(scores, 2021).mean()["mean"]


def ours(args: Any, machine: str, seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Scores of a training, seconds, and the clips."""
    workdir = folder / f"{machine}_{seed}"
    # Every seed has the sounds of the first.
    sounds = folder / f"{machine}_0"
    for name in ("simulated_sounds", "sets"):
        if seed:
            workdir.mkdir(exist_ok=True)
            (workdir / name).symlink_to(sounds / name)
    began = time.perf_counter()
    pretrain(config_of(args, machine, seed), workdir)
    seconds = time.perf_counter() - began
    (run,) = runs_of(workdir)
    data = run.system.open_data(workdir)
    part = Part(system=run.system, data=data, workdir=run.workdir)  # pyright: ignore
    scored = score_part(part)[machine]
    clips = [data.dataset.clips[i] for i in next(iter(scored.values())).indices]
    scores = {_OURS[name]: found.score for name, found in scored.items()}
    return {"clips": clips, "seconds": seconds, **scores}


def peer(args: Any, machine: str, seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Likewise of PyTorch, by file name."""
    output = folder / f"peer_{machine}_{seed}.npz"
    command = [args.peer_python or sys.executable, "-m"]
    command += ["benchmarks.asd_autoencoder_peer", f"--seed={seed}"]
    sounds = folder / f"{machine}_0" / "simulated_sounds" / "dev_data" / machine
    command += [f"--machine={sounds}", f"--epochs={args.epochs}", f"--output={output}"]
    subprocess.run(command, check=True)
    return dict(np.load(output))


def compare(args: Any, machine: str, folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """A line for each score."""
    values: dict[str, list[tuple[float, float]]] = {}
    seconds = []
    for seed in range(args.seeds):
        mine = ours(args, machine, seed, folder)
        other = peer(args, machine, seed, folder)
        place = {name: i for i, name in enumerate(other["name"].tolist())}
        rows = [place[clip.path.rsplit("/", 1)[-1]] for clip in mine["clips"]]
        if len(rows) != len(place):
            raise ValueError(f"{len(rows)} clips were scored here, {len(place)} there")
        for name in _OURS.values():
            pair = (mine[name], other[name][rows])
            found = tuple(mean_of(mine["clips"], value) for value in pair)
            values.setdefault(name, []).append(found)  # pyright: ignore
        seconds.append((mine["seconds"], float(other["seconds"])))
    train_s, peer_train_s = np.median(seconds, axis=0).round(1).tolist()
    for name, pairs in values.items():
        yield {
            "name": "asd_autoencoder",
            "case": f"{machine} (simulated), {name}, {args.seeds} seeds",
            **_difference(*np.transpose(pairs)),
            "unit": "mean by the rule of 2021",
            "device": f"{jax.default_backend()} jax {jax.__version__}",
            "epochs": args.epochs,
            "clips": 2 * (args.clips + 3),
            "train_s": train_s,
            "peer_train_s": peer_train_s,
        }


def _difference(mine: np.ndarray, other: np.ndarray) -> Mapping[str, float]:
    welch = scipy.stats.ttest_ind(mine, other, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    found = {
        "ours": mine.mean(),
        "peer": other.mean(),
        "ratio": mine.mean() / other.mean(),
        "difference": mine.mean() - other.mean(),
        "low": low,
        "high": high,
        "ours_sd": mine.std(ddof=1),
        "peer_sd": other.std(ddof=1),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    """Measures every machine."""
    flags = harness.parser(__doc__)
    flags.add_argument("--machines", default="fan,valve", help="of the simulator")
    flags.add_argument("--seeds", type=int, default=3, help="trainings of each side")
    flags.add_argument("--clips", type=int, default=50, help="of a section's source")
    flags.add_argument("--test", type=int, default=50, help="normal, and anomalous")
    flags.add_argument("--epochs", type=int, default=100)
    flags.add_argument("--peer_python", help="a Python that has torch and librosa")
    args = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        harness.report(
            (
                line
                for machine in args.machines.split(",")
                for line in compare(args, machine, pathlib.Path(folder))
            ),
            out=args.out,
        )


if __name__ == "__main__":
    main()
