"""Peer of `benchmarks.lmm_loss`: the same loss through torch.stft."""

import functools
import time

import torch

from benchmarks.mae_step_torch import log_mean_magnitude
from benchmarks.torch_peer import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
REPEATS = 3


@functools.cache
def _signals(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.randn(rows, 300, device=DEVICE)
    return target, torch.randn(rows, 300, device=DEVICE, requires_grad=True)


def _loss(target: torch.Tensor, prediction: torch.Tensor, n_fft: int) -> torch.Tensor:
    error = log_mean_magnitude(target, n_fft) - log_mean_magnitude(prediction, n_fft)
    return error.square().mean()


def run(what: str) -> float:
    """Seconds of one `"forward|gradient rows n_fft"`, the best of `REPEATS`."""
    kind, rows, n_fft = what.split()
    target, prediction = _signals(int(rows))
    seconds = []
    for _ in range(REPEATS):
        prediction.grad = None
        start = time.perf_counter()
        with torch.set_grad_enabled(kind == "gradient"):
            loss = _loss(target, prediction, int(n_fft))
        if kind == "gradient":
            loss.backward()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    serve({"torch": torch.__version__}, run)
