"""Peer of `benchmarks.autoencoders`: pyod's AutoEncoder with its own defaults."""

import argparse
import pathlib
import time

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder
from pyod.version import __version__

from benchmarks.torch_peer import serve


def main() -> None:
    """Serves `fit`, or `decision_function` with batches of the size that is asked."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--folder", type=pathlib.Path, required=True)
    folder = flags.parse_args().folder
    train, new = np.load(folder / "train.npy"), np.load(folder / "new.npy")
    detector = AutoEncoder(epoch_num=10, verbose=0)
    detector.fit(train)

    def run(what: str) -> float:
        start = time.perf_counter()
        if what == "fit":
            AutoEncoder(epoch_num=10, verbose=0).fit(train)
        else:
            detector.decision_function(new, batch_size=int(what))
        return time.perf_counter() - start

    serve({"pyod": __version__, "torch": torch.__version__}, run)


if __name__ == "__main__":
    main()
