"""MNIST as a set of TensorFlow Datasets, built without TensorFlow.

The builder that TFDS has encodes its images with TensorFlow; this one takes the same
four files from the same address and keeps plain bytes.
"""

import contextlib
import gzip
import hashlib
import io
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from sigjax.data.datasets.folders import DatasetError
from sigjax.data.examples.example_set import example_set
from sigjax.data.examples.loaded import Loaded
from sigjax.data.wearable import lock

ADDRESS = "https://storage.googleapis.com/cvdf-datasets/mnist/"
# By split: file, its size in bytes and its SHA-256, of images and of labels.
FILES = {
    "train": (
        (
            "train-images-idx3-ubyte.gz",
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
    ),
    "test": (
        (
            "t10k-images-idx3-ubyte.gz",
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
}
_IMAGES, _LABELS = 0x803, 0x801  # Magic numbers of IDX files.
_TIMEOUT_S = 30.0


class Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """70,000 digits, uint8 28 x 28, with their place in the files."""

    name = "mnist_bytes"
    VERSION = tfds.core.Version("1.0.0")
    # TFDS would look for it with a package that it does not require.
    code_path = epath.Path(__file__)

    def __init__(self, *, files: epath.Path | None = None, **kwargs: Any):
        """For building; one that is finished needs no `files`.

        Args:
          files: Folder of the four files.
          **kwargs: Of TFDS, such as `data_dir`.
        """
        self._files = files
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Tensor(shape=(28, 28), dtype=np.uint8, encoding="bytes")
        return tfds.core.DatasetInfo(
            builder=self,
            description="The MNIST database of handwritten digits.",
            homepage="http://yann.lecun.com/exdb/mnist/",
            features=tfds.features.FeaturesDict(
                {
                    "image": image,
                    "label": tfds.features.Scalar(np.int32),
                    "number": tfds.features.Scalar(np.int32),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        assert self._files is not None
        return {
            split: self._generate_examples(*(self._files / f[0] for f in files))
            for split, files in FILES.items()
        }

    def _generate_examples(
        self, images: epath.Path, labels: epath.Path
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        x, label = read_idx(images, _IMAGES), read_idx(labels, _LABELS)
        if len(x) != len(label):
            raise DatasetError(
                f"{images} has {len(x)} images, {labels} {len(label)} labels"
            )
        for number in range(len(x)):
            record = {"image": x[number], "label": label[number].astype(np.int32)}
            yield number, {**record, "number": np.int32(number)}


def read_idx(path: epath.PathLike, magic: int) -> np.ndarray:
    """Reads a packed IDX file of bytes.

    Raises:
      DatasetError: It is none, or another kind.
    """
    path = epath.Path(path)
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise DatasetError(f"{path} is no packed file: {error}") from error
    if len(raw) < 8 or int.from_bytes(raw[:4]) != magic:
        raise DatasetError(f"{path} begins otherwise than an IDX file of this kind")
    shape = [int.from_bytes(raw[4 * i : 4 * i + 4]) for i in range(1, magic % 256 + 1)]
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape))
    if body.size != np.prod(shape):
        raise DatasetError(f"{path} has {body.size} values, and says {shape}")
    return body.reshape(shape)


def folder_of(path: str) -> epath.Path:
    """Where TFDS keeps its sets."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return epath.Path(path or default).expanduser()


def build_mnist(path: str = "") -> None:
    """Builds the set, from files that are there or are fetched; once.

    Args:
      path: Of `ExampleDataConfig`. Files that lie in `PATH/downloads/manual` are not
        fetched.

    Raises:
      DatasetError: The files cannot be fetched, or are no such files.
    """
    folder = folder_of(path)
    files = folder / "downloads" / "manual"
    builder = Mnist(data_dir=os.fspath(folder), files=files)
    if epath.Path(builder.data_path).exists():
        return
    with lock.only_writer(epath.Path(builder.data_path).parent):
        files.mkdir(parents=True, exist_ok=True)
        for name, size, checksum in (f for own in FILES.values() for f in own):
            if not (files / name).exists():
                _fetch(files / name, size, checksum)
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS tells what it does.
            builder.download_and_prepare(download_dir=folder / "downloads")


def _fetch(path: epath.Path, size: int, checksum: str) -> None:
    """Downloads one file; a half of it is never under its name."""
    try:
        with urllib.request.urlopen(ADDRESS + path.name, timeout=_TIMEOUT_S) as answer:
            raw = answer.read(size + 1)
    except OSError as error:  # Of which those of urllib are.
        names = ", ".join(f[0] for own in FILES.values() for f in own)
        raise DatasetError(
            f"MNIST cannot be fetched from {ADDRESS}: {error}. Where there is no"
            f" network, put {names} into {path.parent}, or take scikit-learn's digits:"
            " data.source='digits', the variants 'digits' of configs/autoencoder.py"
        ) from error
    if hashlib.sha256(raw).hexdigest() != checksum:
        raise DatasetError(f"{ADDRESS}{path.name} is not the file that was published")
    part = path.parent / f"{path.name}.part"
    part.write_bytes(raw)
    part.replace(path)


def mnist(path: str = "") -> Loaded:
    """MNIST, uint8 `[28, 28, 1]`, split `"train"` (60,000) and `"test"` (10,000).

    Args:
      path: Of `ExampleDataConfig`.

    Raises:
      DatasetError: It has not been built; see `build_mnist`.
    """
    builder = Mnist(data_dir=os.fspath(folder_of(path)))
    if not epath.Path(builder.data_path).exists():
        raise DatasetError(f"{builder.data_path}: MNIST has not been built here")
    images, labels, ids, splits = [], [], [], []
    for split in FILES:
        # TFDS wraps the method and pyright no longer sees its arguments.
        open_split: Any = builder.as_data_source
        source = open_split(split)
        records = source.__getitems__(list(range(len(source))))
        records = sorted(records, key=lambda record: int(record["number"]))
        images += [record["image"] for record in records]
        labels += [int(record["label"]) for record in records]
        ids += [f"{split}{int(record['number']):05d}" for record in records]
        splits += [split] * len(records)
    examples = example_set(
        np.stack(images)[..., None],
        label=np.array(labels, np.int32),
        ids=ids,
        classes=[str(digit) for digit in range(10)],
        units="grey level",
        origin="MNIST",
    )
    return Loaded(examples, np.array(splits))
