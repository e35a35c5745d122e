"""Tiny sources of examples."""

import gzip

import numpy as np
import soundfile

from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.stream import ExampleData, open_example_data


def opened(source: str, **changes) -> ExampleData:
    """Data of a source, batches of 8."""
    given = {"batch_size": 8, **changes}
    return open_example_data(ExampleDataConfig(source=source, **given))


def write_mnist(folder, counts):
    """The four files with few images: pixel values tell number and split."""
    manual = folder / "downloads" / "manual"
    manual.mkdir(parents=True)
    for prefix, count, first in (("train", counts[0], 0), ("t10k", counts[1], 100)):
        image = np.zeros((count, 28, 28), np.uint8)
        image[:, 0, 0] = first + np.arange(count)
        label = (np.arange(count) % 10).astype(np.uint8)
        for kind, magic, value in (("images", 3, image), ("labels", 1, label)):
            head = [0x800 + magic, *value.shape]
            raw = b"".join(number.to_bytes(4, "big") for number in head)
            name = f"{prefix}-{kind}-idx{magic}-ubyte.gz"
            (manual / name).write_bytes(gzip.compress(raw + value.tobytes()))


def write_calls(folder):
    """Five clips at 8 kHz of two speakers and their table; one file is no sound."""
    rows = ["id,path,label,split,group"]
    for number in range(5):
        # The value tells the clip; a ramp tells where it was cut.
        wave = np.arange(200 + 100 * number, dtype=np.int16) + 1000 * number
        soundfile.write(folder / f"{number}.wav", wave, 8000, subtype="PCM_16")
        split, group = ("test", "anna") if number == 4 else ("train", "ben")
        rows.append(f"c{number},{number}.wav,digit{number % 2},{split},{group}")
    (folder / "broken.wav").write_bytes(b"no sound")
    rows.append("c9,broken.wav,digit0,train,ben")
    path = folder / "calls.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
