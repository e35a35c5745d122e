"""Peer of `benchmarks.fbank`: transformers' extractor of AST, or the banks in torch.

`KIND WORK.npz OUT.npy`: the first clip's banks are written to OUT in the first turn.
"""

import pathlib
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.torch_peer import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def by_transformers(work) -> tuple[dict[str, str], Callable[[], np.ndarray]]:
    """What it says of itself, and how the clips' banks are computed."""
    import transformers
    from transformers.utils.import_utils import is_speech_available

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one band is empty
        extractor = transformers.ASTFeatureExtractor()
    clips = list(work["x"])

    def run() -> np.ndarray:
        found = extractor(clips, sampling_rate=16000, return_tensors="np")
        return found["input_values"]

    path = "torchaudio" if is_speech_available() else "numpy"
    return {"transformers": transformers.__version__, "path": path}, run


def by_torch(work) -> tuple[dict[str, str], Callable[[], np.ndarray]]:
    """The definition of `torchaudio.compliance.kaldi.fbank`, for a batch at once."""
    size, hop, n_fft, frames = (int(value) for value in work["sizes"])
    mean, std = (float(value) for value in work["statistics"])
    filters = torch.from_numpy(work["filters"]).to(DEVICE)
    window = torch.hann_window(size, periodic=False, device=DEVICE)
    clips = torch.from_numpy(work["x"])

    def run() -> np.ndarray:
        x = clips.to(DEVICE).unfold(-1, size, hop)
        x = x - x.mean(-1, keepdim=True)
        x = x - 0.97 * torch.cat([x[..., :1], x[..., :-1]], -1)
        power = torch.fft.rfft(x * window, n_fft).abs().square()
        banks = (power @ filters).clamp_min(torch.finfo(torch.float32).eps).log()
        banks = banks[:, :frames]
        banks = torch.nn.functional.pad(banks, (0, 0, 0, frames - banks.shape[1]))
        return ((banks - mean) / (2 * std)).cpu().numpy()

    return {}, run


def main() -> None:
    """Serves."""
    kind, path, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    work = dict(np.load(path))
    about, banks = (by_transformers if kind == "transformers" else by_torch)(work)

    def run(what: str) -> float:
        del what  # there is one thing to do
        start = time.perf_counter()
        found = banks()
        spent = time.perf_counter() - start
        if not out.exists():
            np.save(out, found[0])
        return spent

    threads = torch.get_num_threads()
    with torch.inference_mode():
        serve({"torch": torch.__version__, "torch_threads": threads, **about}, run)


if __name__ == "__main__":
    main()
