"""Files that torch wrote, read without it; and files that must not be read.

`tests/golden/torch_files.py` wrote the golden files.
"""

import io
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest

from sigjax.convert import pickles
from sigjax.convert.constructors import COMMON
from sigjax.convert.torch_files import (
    WeightsError,
    read_checkpoint,
    read_state_dict,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
FILES = ["weights_zip.pt", "weights_legacy.pt", "weights.safetensors"]


@pytest.mark.parametrize("name", FILES)
def test_tensors_of_every_layout_and_dtype(name):
    found, expected = read_state_dict(GOLDEN / name), np.load(GOLDEN / "weights.npz")
    assert found.keys() == set(expected.files)
    for key, value in found.items():
        if key == "bfloat16":
            assert value.dtype == ml_dtypes.bfloat16
            value = value.astype(np.float32)
        assert value.dtype == expected[key].dtype, key
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


@pytest.mark.parametrize("name", FILES[:2])
def test_a_training_checkpoint_keeps_its_structure(name):
    found = read_checkpoint(GOLDEN / name)
    assert (found["epoch"], found["best"]) == (3, 0.75)
    assert found["args"] == {"lr": 0.1, "name": "golden"}
    assert found["shape"] == (3, 4)
    np.testing.assert_array_equal(found["history"], np.arange(6.0).reshape(2, 3).T)
    moment = found["optimizer"]["state"][0]
    plain = found["model"]["module.plain"]
    np.testing.assert_array_equal(moment["exp_avg"], plain / 2)
    assert moment["step"] == 2.0


def test_reading_needs_no_torch_and_imports_nothing_that_a_file_names():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from sigjax.convert.torch_files import read_checkpoint\n"
        "before = set(sys.modules) | {'zlib'}\n"
        "found = read_checkpoint(sys.argv[1])\n"
        "assert len(found['model']) == 13, len(found['model'])\n"
        "print(sorted(m for m in set(sys.modules) - before if 'torch' in m))\n"
    )
    run = [sys.executable, "-c", code, str(GOLDEN / "weights_zip.pt")]
    done = subprocess.run(run, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_arrays_are_read_only_and_share_a_storage():
    found = read_state_dict(GOLDEN / "weights_zip.pt")
    with pytest.raises(ValueError, match="read-only"):
        found["slice"][0] = 1
    assert np.shares_memory(found["slice"], found["every_fourth"])


# ------------------------------------------------------------------ hostile pickles


def torch_zip(pickled, **entries):
    """A file with this pickle, and a storage of four floats."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", np.arange(4.0, dtype="f4").tobytes())
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


def read_bytes(data, tmp_path, name="weights.pt"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_checkpoint(path)


class Reduced:
    """Pickles as a call of anything with any arguments."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments, state)

    def __reduce__(self):
        return self.parts if self.parts[2] else self.parts[:2]


def text(value):
    return pickle.dumps(value, protocol=2)[2:-1]


ATTACKS = {
    "os.system": Reduced(os.system, "touch {marker}"),
    "eval": Reduced(eval, "open({marker!r}, 'w')"),
    "exec": Reduced(exec, "open({marker!r}, 'w')"),
    "open": Reduced(open, "{marker}", "w"),
    "getattr": Reduced(getattr, Reduced(__import__, "os"), "system"),
    "import": Reduced(__import__, "antigravity"),
    "subprocess": Reduced(subprocess.Popen, ("touch", "{marker}")),
    "pickle.loads": Reduced(pickle.loads, pickle.dumps(os.getcwd)),
    "partial": Reduced(__import__("functools").partial, os.system, "touch {marker}"),
    "map": Reduced(map, os.system, ["touch {marker}"]),
    "numpy.load": Reduced(np.load, "{marker}"),
    "set of a call": Reduced(set, Reduced(os.listdir, "/")),
}


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("attack", ATTACKS)
def test_calls_of_anything_are_refused_by_name(attack, protocol, tmp_path):
    def aimed(value):
        if isinstance(value, Reduced):
            function, arguments, state = value.parts
            return Reduced(function, *map(aimed, arguments), state=state)
        return value.format(marker=marker) if isinstance(value, str) else value

    marker = str(tmp_path / "executed")
    pickled = pickle.dumps({"weight": aimed(ATTACKS[attack])}, protocol=protocol)
    with pytest.raises(WeightsError, match=r"names [\w.]+, .* nothing was executed"):
        read_bytes(torch_zip(pickled), tmp_path)
    assert not os.path.exists(marker)


RAW = {
    "an INST opcode": b"(S'touch x'\nios\nsystem\n.",
    "an OBJ opcode": b"(cos\nsystem\nS'touch x'\no.",
    "a name inside an allowed one": (
        b"\x80\x04\x8c\x0bcollections\x8c\x18OrderedDict.__init__.__doc__\x93."
    ),
    "a module path that joins to an allowed name": b"ccollections.OrderedDict\n\n)R.",
    "a call of text": b"\x80\x02" + text("os.system") + b")R.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "a call of a dict": b"\x80\x02})R.",
    "a call of a dtype": b"\x80\x02ctorch\nfloat32\n)R.",
    "a call without a tuple": b"\x80\x02ccollections\nOrderedDict\n]R.",
    "attributes of a name": b"\x80\x02ccollections\nOrderedDict\n}b.",
    "attributes of a list": b"\x80\x02]}b.",
    "attributes without names": b"\x80\x02cargparse\nNamespace\n)R}K\x01K\x02sb.",
    "an object of any class": b"\x80\x02ccopy_reg\n_reconstructor\n"
    b"(cbuiltins\nlist\ncbuiltins\nobject\nNtR.",
    "an extension code": b"\x80\x02\x82\x01.",
    "a persistent id as text": b"\x80\x02Psomething\n.",
    "data outside of the file": b"\x80\x02" + text(("file", "/etc/passwd")) + b"Q.",
    "a storage outside of the archive": b"\x80\x02(X\x07\x00\x00\x00storage"
    b"ctorch\nFloatStorage\nX\x09\x00\x00\x00../../etcX\x03\x00\x00\x00cpuK\x04tQ.",
    "a numpy array of objects": b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00tR.",
    "items for a number": b"\x80\x02K\x01K\x02a.",
    "a missing mark": b"\x80\x02K\x01t.",
    "an empty stack": b"\x80\x02.",
    "an unknown memo": b"\x80\x02h\x05.",
    "no end": b"\x80\x02K\x01",
    "no pickle": b"\xff\xfe",
    "a list as a key": b"\x80\x02}]K\x01s.",
}


@pytest.mark.parametrize("name", RAW)
def test_opcodes_that_weights_do_not_need_are_refused(name, tmp_path):
    with pytest.raises(WeightsError, match="weights.pt: "):
        read_bytes(torch_zip(RAW[name]), tmp_path)


def test_the_raw_pickles_above_are_refused_for_what_they_do():
    # The frame around them is sound: without the attack it is read.
    sound = b"\x80\x02ccollections\nOrderedDict\n)R}K\x01K\x02sb."
    assert pickles.load(io.BytesIO(sound), COMMON) == {}


@pytest.mark.parametrize(
    "use",
    [
        b".",  # as it is
        b"}h\x00K\x01s.",  # as a key
        b"\x8f(h\x00\x90.",  # in a set
        b"(h\x00\x91.",  # in a frozen set
        b")R.",  # called
        b"}b.",  # with attributes
        b"Q.",  # as a persistent id
    ],
)
def test_a_structure_that_explodes_ends_at_once(use, tmp_path):
    # (x, x) of (x, x) of ...: 64 objects with 2 ** 64 leaves, for whoever counts them.
    data = b"\x80\x02)" + b"2\x86" * 64 + b"q\x00" + use
    if use == b".":
        assert len(read_bytes(torch_zip(data), tmp_path)) == 2
        return
    with pytest.raises(WeightsError, match="weights.pt: "):
        read_bytes(torch_zip(data), tmp_path)


def test_deep_and_circular_structures(tmp_path):
    with pytest.raises(WeightsError, match="nested too deeply"):
        read_bytes(torch_zip(b"\x80\x02" + b")" + b"\x85" * 10**5 + b"."), tmp_path)
    # A list that contains itself is legal, and comes back so.
    found = read_bytes(torch_zip(b"\x80\x02]q\x00h\x00a."), tmp_path)
    assert found[0] is found


def tensor(offset=0, size=(2, 2), stride=(2, 1), numel=4, kind="FloatStorage"):
    """A pickle of one tensor, as torch writes it."""
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + text(numel) + b"tQ"
    )
    rest = text(offset) + text(size) + text(stride) + b"\x89}tR."
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest


def test_a_tensor_by_hand_is_read(tmp_path):
    found = read_bytes(torch_zip(tensor()), tmp_path)
    np.testing.assert_array_equal(found, np.array([[0, 1], [2, 3]], np.float32))
    turned = torch_zip(tensor(stride=(1, 2)), byteorder=b"little")
    np.testing.assert_array_equal(read_bytes(turned, tmp_path), found.T)
    swapped = read_bytes(torch_zip(tensor(), byteorder=b"big"), tmp_path)
    np.testing.assert_array_equal(swapped, found.byteswap())


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 2**70},
        {"size": (2, 3)},
        {"stride": (-1, 1)},
        {"stride": (2**62, 1)},
        {"stride": (1,)},
        {"size": (2,) * 70, "stride": (0,) * 70},
        {"numel": 5},
        {"numel": -1},
        {"kind": "QInt8Storage"},
        {"kind": "UntypedStorage"},
    ],
)
def test_tensors_beyond_their_storage_are_refused(changes, tmp_path):
    with pytest.raises(WeightsError, match="weights.pt: "):
        read_bytes(torch_zip(tensor(**changes)), tmp_path)


def test_a_repeated_value_takes_no_memory(tmp_path):
    claim = tensor(size=(2**20, 2**20), stride=(0, 0))
    assert read_bytes(torch_zip(claim), tmp_path).shape == (2**20, 2**20)


# ------------------------------------------------------------------ damaged files


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_says_so(name, tmp_path):
    data = (GOLDEN / name).read_bytes()
    for end in [*range(0, 40), *range(40, len(data) - 1, 37), len(data) - 1]:
        with pytest.raises(WeightsError, match="weights.pt"):
            read_bytes(data[:end], tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_flipped_bytes_end_in_an_error_or_in_values(name, tmp_path):
    data, rng, refused = (GOLDEN / name).read_bytes(), np.random.default_rng(0), 0
    for _ in range(150):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[at] ^= 1 << int(rng.integers(8))
        try:
            read_bytes(damaged, tmp_path)
        except WeightsError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (b"RIFF1234WAVEfmt ", "no torch checkpoint"),
        (pickle.dumps({"weight": 1}), "pickle, but no torch checkpoint"),
        (pickle.dumps(os.system), "names posix.system"),
    ],
)
def test_other_files_are_named_for_what_they_are(data, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        read_bytes(data, tmp_path)


def test_other_zip_archives_are_named_for_what_they_are(tmp_path):
    script = torch_zip(b"\x80\x02}.", **{"constants.pkl": b"", "code/x.py": b""})
    with pytest.raises(WeightsError, match="TorchScript.*state_dict"):
        read_bytes(script, tmp_path)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("photo.txt", "no weights")
    with pytest.raises(WeightsError, match="no torch checkpoint"):
        read_bytes(file.getvalue(), tmp_path)


def test_a_state_dict_is_found_or_what_is_there_is_listed(tmp_path):
    path = GOLDEN / "weights_zip.pt"
    assert "plain" in read_state_dict(path)
    assert "module.plain" in read_state_dict(path, prefix="")
    assert "lain" in read_state_dict(path, key="model", prefix="module.p")
    with pytest.raises(WeightsError, match="under args; it holds: model .dict., opt"):
        read_state_dict(path, key="args")
    (tmp_path / "none.pt").write_bytes(
        torch_zip(text({"epoch": 1}).join([b"\x80\x02", b"."]))
    )
    with pytest.raises(WeightsError, match=r"it holds: epoch \(int\)"):
        read_state_dict(tmp_path / "none.pt")


def safetensors(header, data=b"\0" * 16):
    raw = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(raw)) + raw + data


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "F33"},
        {"dtype": ["F32"]},
        {"shape": [5]},
        {"shape": [-2, -2]},
        {"shape": [2.0, 2]},
        {"shape": 4},
        {"data_offsets": [4, 20]},
        {"data_offsets": [-16, 0]},
        {"data_offsets": [0.0, 16.0]},
        {"data_offsets": [0]},
    ],
)
def test_damaged_safetensors_headers_are_refused(changes, tmp_path):
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    sound = read_bytes(safetensors({"w": entry}), tmp_path)
    np.testing.assert_array_equal(sound["w"], np.zeros((2, 2), np.float32))
    with pytest.raises(WeightsError, match="weights.pt"):
        read_bytes(safetensors({"w": {**entry, **changes}}), tmp_path)
