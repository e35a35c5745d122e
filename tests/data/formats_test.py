"""The choice of a reader by name and content, packed files, and finding recordings."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from sigjax.data import formats
from sigjax.data.formats import (
    FORMATS,
    CsvLayout,
    ReadOptions,
    find_recordings,
    read_cwa,
    read_recording,
)
from sigjax.data.formats.source import Source
from sigjax.data.recording import FormatError
from sigjax.data.synthetic import CwaDevice, write_cwa

_E4 = b"1644226061,1644226061,1644226061\n32.0,32.0,32.0\n" + b"1,2,3\n" * 5
_DEVICE = CwaDevice(start=1.7e9, rate_hz=98.7)


@pytest.fixture(scope="module")
def cwa(tmp_path_factory) -> bytes:
    """An AX3 file of 30,000 samples that do not compress."""
    path = tmp_path_factory.mktemp("cwa") / "a.cwa"
    rng = np.random.default_rng(0)
    samples = rng.uniform(-7.0, 7.0, (30_000, 3)).astype(np.float32)
    write_cwa(path, [samples], _DEVICE)
    return path.read_bytes()


def _zip(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return stream.getvalue()


def _samples(recording) -> np.ndarray:
    parts = [segment.counts for segment in recording.segments]
    return np.concatenate([np.zeros((0, 3), np.int16), *parts])


# ------------------------------------------------------------------- packed files


@pytest.mark.parametrize("name", ["a.cwa.gz", "A.CWA.GZ", "a.cwa.zip", "a.zip"])
def test_packed_files_read_like_the_file_in_them(tmp_path, cwa, name):
    path = tmp_path / name
    packed = gzip.compress(cwa, 1) if name.lower().endswith("gz") else _zip(b_cwa=cwa)
    path.write_bytes(packed)
    recording = read_cwa(path)
    whole = read_cwa(cwa)
    assert recording.quality == whole.quality
    np.testing.assert_array_equal(_samples(recording), _samples(whole))
    assert recording.segments[0].start == whole.segments[0].start
    assert recording.source == str(path)


def test_packed_files_are_chosen_by_the_name_without_the_packing(tmp_path, cwa):
    (tmp_path / "a.cwa.gz").write_bytes(gzip.compress(cwa, 1))
    (tmp_path / "b.cwa.zip").write_bytes(_zip(other_name=cwa))
    (tmp_path / "ACC.csv.gz").write_bytes(gzip.compress(_E4))
    found, skipped = find_recordings(tmp_path)
    assert [read_recording(path).device for path in found] == ["E4", "AX3", "AX3"]
    assert skipped == []


@pytest.mark.parametrize("missing", [1, 8, 1_000, 50_000])
def test_a_cut_off_gz_keeps_what_came_before(tmp_path, cwa, missing):
    path = tmp_path / "a.cwa.gz"
    path.write_bytes(gzip.compress(cwa, 1)[:-missing])
    recording = read_recording(path)
    assert recording.quality["bad_compression"] == 1
    whole = _samples(read_cwa(cwa))
    kept = _samples(recording)
    np.testing.assert_array_equal(kept, whole[: len(kept)])
    # All but what was cut off, and what the decompressor had not given out.
    assert len(kept) >= len(whole) * (1 - (missing + 70_000) / len(cwa))


def test_a_damaged_gz_keeps_what_came_before(tmp_path, cwa):
    packed = bytearray(gzip.compress(cwa, 1))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "a.cwa.gz"
    path.write_bytes(bytes(packed))
    quality = read_recording(path).quality
    assert quality["bad_compression"] == 1
    assert quality["samples"] > 10_000


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a_cwa": b"MD", "b_cwa": b"MD"}, "holds 2 files"),
        ({}, "holds 0 files"),
    ],
)
def test_a_zip_holds_one_file(tmp_path, members, message):
    path = tmp_path / "a.cwa.zip"
    path.write_bytes(_zip(**members))
    with pytest.raises(FormatError, match=f"a\\.cwa\\.zip: {message}"):
        read_recording(path)


@pytest.mark.parametrize(
    "raw", [b"", b"PK\3\4", b"PK\5\6" + bytes(18) + b"x", b"MD" * 1_000]
)
def test_what_is_no_zip_says_so(tmp_path, raw):
    path = tmp_path / "a.cwa.zip"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"a\.cwa\.zip: (cannot unpack|holds 0)"):
        read_recording(path)


def test_a_cut_off_zip_cannot_be_unpacked(tmp_path, cwa):
    path = tmp_path / "a.cwa.zip"
    path.write_bytes(_zip(a_cwa=cwa)[:-100])
    with pytest.raises(FormatError, match=r"a\.cwa\.zip: cannot unpack: .*copy it"):
        read_recording(path)


@pytest.mark.parametrize("name", ["a.cwa.zip", "a.gt3x"])
def test_a_zip_whose_directory_is_damaged(tmp_path, cwa, name):
    """Byte by byte: never anything but a clear error, or what is there."""
    path = tmp_path / name
    whole = _zip(log_bin=cwa[:3_000], **({"info_txt": b""} if "gt3x" in name else {}))
    start = whole.index(b"PK\1\2")
    for at in range(start, len(whole)):
        raw = bytearray(whole)
        raw[at] ^= 0xFF
        path.write_bytes(bytes(raw))
        try:
            read_recording(path)
        except FormatError as error:
            assert name in str(error)


def test_a_zip_packed_in_another_way(tmp_path, cwa):
    path = tmp_path / "a.cwa.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.cwa", cwa)
    with pytest.raises(FormatError, match="neither by deflate nor stored"):
        read_recording(path)


def test_a_gz_that_is_none(tmp_path):
    path = tmp_path / "a.cwa.gz"
    path.write_bytes(b"MD" * 1_000)
    with pytest.raises(FormatError, match="a.cwa.gz"):
        read_recording(path)


def test_sources_seek_where_a_format_is_an_archive(tmp_path):
    plain, packed = tmp_path / "a.gt3x", tmp_path / "a.gt3x.gz"
    plain.write_bytes(b"0123456789")
    packed.write_bytes(gzip.compress(b"0123456789"))
    for source in (plain, packed, b"0123456789"):
        with Source(source).open_seekable() as file:
            file.seek(4)
            assert file.read(3) == b"456"


# --------------------------------------------------------------------- the choice


def test_unsupported_types_name_those_that_are(tmp_path):
    for name in ("a.dat", "b.bin", "c.csv", "d.npy", "e"):
        (tmp_path / name).write_bytes(b"time;x;y;z\n")
        with pytest.raises(FormatError) as error:
            read_recording(tmp_path / name)
        assert name in str(error.value)
        assert all(kind.name in str(error.value) for kind in FORMATS)


@pytest.mark.parametrize("kind", [".cwa", ".gt3x", ".csv", ".npy", ".bin"])
def test_empty_files_say_so_or_are_not_supported(tmp_path, kind):
    path = tmp_path / f"a{kind}"
    path.write_bytes(b"")
    with pytest.raises(FormatError, match=f"a\\{kind}: "):
        read_recording(path)


def test_a_missing_file_is_missing(tmp_path):
    for name in ("a.cwa", "a.cwa.gz", "a.gt3x", "a.bin", "ACC.csv"):
        with pytest.raises(FileNotFoundError):
            read_recording(tmp_path / name)


def test_no_two_formats_claim_a_real_file(real_data):
    for path in (real_data / "wrist_devices").iterdir():
        claims = [known.name for known in FORMATS if known.recognises(Source(path))]
        assert len(claims) == (path.suffix != ".md"), (path, claims)


def test_a_time_zone_completes_a_clock_that_names_none(tmp_path, cwa):
    path = tmp_path / "a.cwa"
    path.write_bytes(cwa)
    assert read_recording(path).utc_offset_s is None
    # 2023-11-14: winter time.
    recording = read_recording(path, ReadOptions(tz="Europe/Berlin"))
    assert recording.utc_offset_s == 3600.0
    (tmp_path / "ACC.csv").write_bytes(_E4)
    e4 = read_recording(tmp_path / "ACC.csv", ReadOptions(tz="Europe/Berlin"))
    assert e4.utc_offset_s == 0.0


# -------------------------------------------------------------- finding recordings


def test_real_studies_are_found(real_data):
    found, skipped = find_recordings(real_data / "stress_predict_e4")
    assert len(found) == 18
    assert {path.name for path, _ in skipped} >= {"tags_S01.csv"}
    assert find_recordings(f"{real_data}/stress*/Raw_data/S0?/ACC.csv")[0] == found[:9]
    found, skipped = find_recordings(real_data / "wrist_devices")
    assert len(found) == 7
    assert skipped == []


@pytest.fixture
def study(tmp_path):
    """A folder with readable files, raw-looking ones and others, at two depths."""
    (tmp_path / "deep").mkdir()
    write_cwa(tmp_path / "b.cwa", [np.zeros((240, 3), np.float32)], _DEVICE)
    write_cwa(tmp_path / "deep" / "a.CWA", [np.zeros((240, 3), np.float32)], _DEVICE)
    (tmp_path / "deep" / "ACC.csv").write_bytes(_E4)
    (tmp_path / "labels.csv").write_text("time,label\n1,walk\n")
    (tmp_path / "firmware.bin").write_bytes(b"\x7fELF")
    (tmp_path / "c.gt3x").write_bytes(b"PK")
    (tmp_path / "d.cwa.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "two.cwa.zip").write_bytes(_zip(a_cwa=b"MD", b_cwa=b"MD"))
    (tmp_path / "two.csv.zip").write_bytes(_zip(a_csv=_E4, b_csv=_E4))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "e.cwa.tmp").write_bytes(b"MD")
    return tmp_path


def test_find_recordings_in_a_folder(study):
    found, skipped = find_recordings(study)
    names = [path.relative_to(study).as_posix() for path in found]
    # What a name says is believed; whether the file is whole shows when it is read.
    assert names == [
        "b.cwa",
        "c.gt3x",
        "d.cwa.gz",
        "deep/ACC.csv",
        "deep/a.CWA",
        "two.cwa.zip",
    ]
    reasons = {path.name: reason for path, reason in skipped}
    assert set(reasons) == {"labels.csv", "firmware.bin", "two.csv.zip"}
    assert "time,label" in reasons["labels.csv"]
    assert reasons["firmware.bin"] == "no known device writes this (b'\\x7fELF')"
    assert reasons["two.csv.zip"].startswith("holds 2 files")
    whole = [path for path in found if path.name in ("b.cwa", "ACC.csv", "a.CWA")]
    assert [read_recording(path).device for path in whole] == ["AX3", "E4", "AX3"]


def test_a_csv_layout_claims_tables_that_have_its_columns(study):
    (study / "table.csv").write_text("t,ax,ay,az\n0,0,0,1\n")
    layout = CsvLayout(x="ax", y="ay", z="az", rate_hz=30.0)
    found, skipped = find_recordings(study, ReadOptions(csv=layout))
    names = {path.name for path in found}
    assert {"table.csv", "ACC.csv"} < names and "labels.csv" not in names
    skipped_names = {path.name for path, _ in skipped}
    assert skipped_names == {"labels.csv", "firmware.bin", "two.csv.zip"}


def test_find_recordings_by_file_and_pattern(study, monkeypatch):
    assert len(find_recordings(study / "b.cwa")[0]) == 1
    assert [path.name for path, _ in find_recordings(study / "labels.csv")[1]] == [
        "labels.csv"
    ]
    assert [path.name for path in find_recordings(f"{study}/*.cwa")[0]] == ["b.cwa"]
    monkeypatch.chdir(study)
    assert [path.name for path in find_recordings("*.cwa")[0]] == ["b.cwa"]
    assert [path.name for path in find_recordings("deep/*.c*")[0]] == ["ACC.csv"]
    assert len(find_recordings("deep/*")[0]) == 2


def test_find_recordings_names_what_is_missing(study):
    for where in (study / "none", f"{study}/*.wav"):
        with pytest.raises(FileNotFoundError, match=str(where).replace("*", r"\*")):
            find_recordings(where)


def test_what_is_called_gz_and_is_none_says_so(tmp_path):
    (tmp_path / "a.cwa.gz").write_bytes(b"MD" + bytes(2000))
    with pytest.raises(FormatError, match="not packed by gzip"):
        read_recording(tmp_path / "a.cwa.gz")


def test_a_format_is_added_by_one_line(study, monkeypatch):
    line = formats.Format(
        "notes (.txt)", lambda source: source.kind.endswith(".txt"), lambda *_, **__: 1
    )
    before = find_recordings(study)[0]
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, line))
    added = set(find_recordings(study)[0]) - set(before)
    assert [path.name for path in added] == ["notes.txt"]


def test_a_file_that_cannot_be_opened_is_told_and_the_others_are_found(
    study, monkeypatch
):
    opened = Source.open

    def refuse(source):
        if source.kind == "labels.csv":
            raise PermissionError(13, "Permission denied", source.name)
        return opened(source)

    monkeypatch.setattr(Source, "open", refuse)
    found, skipped = find_recordings(study)
    assert dict((path.name, why) for path, why in skipped)["labels.csv"] == (
        "cannot be opened: Permission denied"
    )
    assert found
