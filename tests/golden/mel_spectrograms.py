"""Writes mel_spectrograms.npz beside it: log-mel spectrograms by librosa.

    python tests/golden/mel_spectrograms.py [--check]

Every argument of librosa is explicit, so that no default of a version matters. With
`--check` nothing is written: the stored ones are compared with those of the installed
librosa. The npz states the version that wrote it (written by 0.11.0; 1.0.0 agrees).
"""

import argparse
import json
import pathlib
import warnings

import librosa
import numpy as np
import scipy.signal

HERE = pathlib.Path(__file__).parent
EPSILON = float(np.finfo(np.float64).eps)

# Name: which wave, and how. The keys are those of sigjax.signal.mel.MelConfig.
CASES = {
    "noise": ("noise", {}),
    "mirrored": ("noise", {"pad": "reflect"}),
    "htk": ("noise", {"scale": "htk", "norm": "none"}),
    "magnitude": ("noise", {"power": 1.0}),
    "other_sizes": ("noise", {"n_fft": 512, "hop": 160, "n_mels": 40}),
    "odd_sizes": ("noise", {"n_fft": 401, "hop": 77, "n_mels": 20, "f_max_hz": 7000.0}),
    "long_hop": ("noise", {"n_fft": 256, "hop": 700, "n_mels": 16}),
    "high_pass_mel": ("noise", {"high_pass": "mel", "cutoff_hz": 1000.0}),
    "high_pass_mask": ("noise", {"high_pass": "mask", "cutoff_hz": 2000.0}),
    "high_pass_butterworth": (
        "noise",
        {"high_pass": "butterworth", "cutoff_hz": 1000.0, "order": 5},
    ),
    "top_db": ("clicks", {"top_db": 60.0}),
    "clicks": ("clicks", {}),
    "tone": ("tone", {}),
    "silence": ("silence", {}),
    "short": ("short", {}),
    "short_mirrored": ("short", {"pad": "reflect"}),
    "one_sample": ("one_sample", {}),
}


def waves() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    clicks = np.zeros(6000, np.int16)
    clicks[[700, 701, 3000]] = 20000, -9000, 1
    time_s = np.arange(4500) / 16000
    return {
        "noise": (3000 * random.normal(size=5000)).astype(np.int16),
        "clicks": clicks,
        # Not rounded to 16 bits: far from the tone, the window leaks -170 dB.
        "tone": np.sin(2 * np.pi * 1003.3 * time_s).astype(np.float32),
        "silence": np.zeros(2000, np.int16),
        "short": (3000 * random.normal(size=300)).astype(np.int16),
        "one_sample": np.array([12345], np.int16),
    }


def unit(wave: np.ndarray) -> np.ndarray:
    if wave.dtype == np.float32:
        return wave
    return wave.astype(np.float32) / np.float32(32768)


def log_mel(
    y,
    *,
    rate_hz=16000,
    n_fft=1024,
    hop=512,
    n_mels=128,
    f_max_hz=None,
    norm="slaney",
    scale="slaney",
    power=2.0,
    top_db=None,
    pad="zero",
    high_pass="none",
    cutoff_hz=0.0,
    order=4,
):
    transform = {
        "n_fft": n_fft,
        "hop_length": hop,
        "win_length": n_fft,
        "window": "hann",
        "center": True,
        "pad_mode": {"zero": "constant", "reflect": "reflect"}[pad],
    }
    bands = {
        "sr": rate_hz,
        "n_fft": n_fft,
        "n_mels": n_mels,
        "fmin": cutoff_hz if high_pass == "mel" else 0.0,
        "fmax": f_max_hz,
        "htk": scale == "htk",
        "norm": None if norm == "none" else norm,
    }
    if high_pass in ("none", "mel"):
        mel = librosa.feature.melspectrogram(y=y, power=power, **(transform | bands))
    else:
        spectrum = np.abs(librosa.stft(y, **transform))
        frequency_hz = librosa.fft_frequencies(sr=rate_hz, n_fft=n_fft)
        if high_pass == "mask":
            gain = frequency_hz >= cutoff_hz
            top_db = 80.0
        else:
            sections = scipy.signal.butter(
                order, cutoff_hz, "high", fs=rate_hz, output="sos"
            )
            gain = np.abs(scipy.signal.sosfreqz(sections, frequency_hz, fs=rate_hz)[1])
        mel = librosa.filters.mel(**bands) @ (spectrum * gain[:, None]) ** power
    to_db = librosa.power_to_db if power == 2 else librosa.amplitude_to_db
    return to_db(mel, ref=1.0, amin=EPSILON, top_db=top_db).T.astype(np.float32)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--check", action="store_true")
    check = flags.parse_args().check
    # Of signals shorter than a window, and of bands without bins.
    warnings.simplefilter("ignore", UserWarning)
    sounds = waves()
    arrays = {f"wave/{name}": wave for name, wave in sounds.items()}
    for name, (wave, config) in CASES.items():
        arrays[f"mel/{name}"] = log_mel(unit(sounds[wave]), **config)
    if not check:
        about = {"librosa": librosa.__version__, "cases": CASES}
        np.savez_compressed(
            HERE / "mel_spectrograms.npz", about=np.array(json.dumps(about)), **arrays
        )
        return
    with np.load(HERE / "mel_spectrograms.npz") as stored:
        written_by = json.loads(str(stored["about"]))["librosa"]
        worst = max(np.abs(stored[k] - arrays[k]).max() for k in arrays)
        print(f"librosa {librosa.__version__} against {written_by}: {worst:.1e}")


if __name__ == "__main__":
    main()
