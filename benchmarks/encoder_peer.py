"""Peer of `benchmarks.encoder`: transformers, one clip at a time or equal ones at once.

It draws the weights, and leaves them in the folder for ours to read.
"""

import functools
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from benchmarks.torch_peer import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = torch.bfloat16 if DEVICE == "cuda" else torch.float32
FAMILIES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}


def network(about: dict[str, Any], path: pathlib.Path) -> nn.Module:
    """A network of random weights, which are kept in `path`, in float32."""
    family = FAMILIES[about["kind"]]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**about["config"])
    made = getattr(transformers, f"{family}Model")(config).eval()
    made.save_pretrained(path)
    return made.to(DEVICE, DTYPE)


def chunks(wave: torch.Tensor, about: dict[str, Any]) -> list[torch.Tensor]:
    """The parts in which a clip is read, `[1, s]` each."""
    if wave.shape[-1] <= about["longest"]:
        return [wave]
    parts = list(wave.split(about["chunk"], dim=-1))
    if parts[-1].shape[-1] < 400:
        tail = parts.pop()
        parts[-1] = torch.cat([parts[-1], tail], dim=-1)
    return parts


def functionals(made: nn.Module, parts: list[torch.Tensor]) -> torch.Tensor:
    """Waves `[b, s]`, parts of the same clips, to `[b, l, 2 d]`, on the host."""
    found = [
        torch.stack(
            made(part.to(DEVICE, DTYPE), output_hidden_states=True).hidden_states, dim=1
        )
        for part in parts
    ]
    frames = (found[0] if len(found) == 1 else torch.cat(found, dim=2)).float()
    std, mean = torch.std_mean(frames, dim=2, correction=0)
    return torch.cat([mean, std], dim=-1).cpu()


def main() -> None:
    """Serves: `FOLDER`, with `about.json`, `CASE_lengths.npy` and `CASE_waves.npy`.

    A line is a case, or `features` and a case, which leaves `CASE_features.npy`.
    """
    folder = pathlib.Path(sys.argv[1])
    about = json.loads((folder / "about.json").read_text())
    made = network(about, folder / "weights")

    @functools.cache
    def clips(case: str) -> list[torch.Tensor]:
        waves = torch.from_numpy(np.load(folder / f"{case}_waves.npy"))
        lengths = np.load(folder / f"{case}_lengths.npy").tolist()
        if case == "equal":
            return [waves.reshape(len(lengths), -1)]
        return [clip[None] for clip in waves.split(lengths)]

    def run(what: str) -> float:
        case = what.split()[-1]
        given = clips(case)
        start = time.perf_counter()
        found = torch.cat([functionals(made, chunks(each, about)) for each in given])
        spent = time.perf_counter() - start
        if what.startswith("features "):
            np.save(folder / f"{case}_features.npy", found.numpy())
        return spent

    said = {"torch": torch.__version__, "transformers": transformers.__version__}
    with torch.inference_mode():
        serve(said, run)


if __name__ == "__main__":
    main()
