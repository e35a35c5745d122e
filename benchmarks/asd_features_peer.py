"""Peer of `benchmarks.asd_features`: torch.stft and a matrix product."""

import sys
import time

import numpy as np
import torch

from benchmarks.torch_peer import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def log_mel(
    x: torch.Tensor, filters: torch.Tensor, window: torch.Tensor, hop: int
) -> torch.Tensor:
    """`[b, s]` to `[b, t, f]` in dB, with filters `[k, f]`."""
    spectrum = torch.stft(
        x,
        len(window),
        hop,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    power = torch.view_as_real(spectrum).square().sum(-1)
    return 10 * torch.log10((power.mT @ filters).clamp_min(2.0**-52))


def main() -> None:
    """Serves: `FILTERS.npy CLIPS SAMPLES HOP`."""
    path, (clips, samples, hop) = sys.argv[1], map(int, sys.argv[2:])
    filters = torch.from_numpy(np.load(path)).to(DEVICE)
    window = torch.hann_window(2 * (len(filters) - 1), device=DEVICE)
    x = 0.1 * torch.randn(clips, samples, device=DEVICE)

    def run(what: str) -> float:
        del what  # There is one case.
        start = time.perf_counter()
        log_mel(x, filters, window, hop)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    about = {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    with torch.inference_mode():
        serve(about, run)


if __name__ == "__main__":
    main()
