"""The simulated study in Capture-24's layout, through the readers of that layout."""

import csv
import dataclasses
import gzip
import json

import numpy as np
import pytest

from sigjax.data.formats import capture24_labels, find_recordings, read_recording
from sigjax.data.synthetic import WristSimulation, write_capture24
from sigjax.data.synthetic.schedule import Span
from sigjax.data.wearable import prepare

_HOURS = 0.5


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture24")
    return folder, write_capture24(folder, people=3, hours=_HOURS, seed=11)


def _truth(folder, name):
    return json.loads((folder / f"{name}.truth.json").read_text())


def test_files_are_those_of_the_published_set(study):
    folder, paths = study
    assert [path.name for path in paths] == [f"P00{n}.csv.gz" for n in (1, 2, 3)]
    assert find_recordings(folder)[0] == paths
    with gzip.open(paths[0], "rt") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time", "x", "y", "z", "annotation"]
    assert len(rows) == 1 + _HOURS * 3600 * 100
    assert len(rows[1][0]) == len("2016-11-13 02:18:00.000000")
    assert "SIMULATED" in (folder / "SIMULATED.txt").read_text()


def test_samples_and_times_are_read_back_exactly(study):
    folder, paths = study
    recording = read_recording(paths[0])
    (segment,) = recording.segments
    parameters = _truth(folder, "P001")["simulation"]
    spans = tuple(Span(**span) for span in parameters.pop("schedule"))
    simulation = WristSimulation(**parameters, schedule=spans)
    samples = np.concatenate([*simulation.chunks()])
    np.testing.assert_array_equal(segment.acceleration, samples)
    expected = simulation.start + np.arange(len(samples)) / 100
    time = segment.time_at(np.arange(len(samples)))
    assert np.abs(time - expected).max() < 1e-6
    assert segment.rate_hz == pytest.approx(100.0)
    assert recording.metadata["subject_code"] == "P001"


def test_annotations_are_those_that_were_given(study):
    folder, paths = study
    for path in paths:
        recording = read_recording(path)
        (segment,) = recording.segments
        codes = segment.channels["label"].values
        texts = np.array([*recording.metadata["labels"], ""])
        found = texts[codes]
        annotated = _truth(folder, path.name[:4])["annotated"]
        lengths = [round(100 * (s["end_s"] - s["start_s"])) for s in annotated]
        expected = np.repeat([span["annotation"] for span in annotated], lengths)
        np.testing.assert_array_equal(found, expected)
        # A third of the samples has none, as in the published set.
        assert (codes == -1).mean() == pytest.approx(1 / 3, abs=1e-4)


def test_every_scheme_tells_the_class_of_every_annotation(study):
    folder, paths = study
    dictionary = capture24_labels.read_dictionary(
        folder / "annotation-label-dictionary.csv"
    )
    classes = {name: dictionary.scheme(name).classes for name in dictionary.schemes}
    assert list(classes) == [
        "WillettsSpecific2018",
        "WillettsMET2018",
        "DohertySpecific2018",
        "Willetts2018",
        "Doherty2018",
        "Walmsley2020",
    ]
    assert classes["Willetts2018"] == (
        "bicycling",
        "mixed",
        "sit-stand",
        "sleep",
        "vehicle",
        "walking",
    )
    assert len(classes["WillettsSpecific2018"]) == 10
    assert len(classes["Walmsley2020"]) == 4
    assert len(classes["Doherty2018"]) == 5
    for path in paths:
        labels = read_recording(path).metadata["labels"]
        for name in dictionary.schemes:
            codes = dictionary.encode(name, labels)
            assert (codes >= 0).all()
        # However short, a recording has all six of the classes.
        assert len(set(dictionary.encode("Willetts2018", labels))) == 6


def test_schemes_agree_with_one_another(study):
    dictionary = capture24_labels.read_dictionary(
        study[0] / "annotation-label-dictionary.csv"
    )
    for asleep in zip(*dictionary.labels.values(), strict=True):
        assert len({label == "sleep" for label in asleep}) == 1
    coarse = dict(
        zip(
            dictionary.labels["WillettsSpecific2018"],
            dictionary.labels["Willetts2018"],
            strict=True,
        )
    )
    for fine, one in zip(
        dictionary.labels["WillettsSpecific2018"],
        dictionary.labels["Willetts2018"],
        strict=True,
    ):
        assert coarse[fine] == one


def test_participants_have_an_age_group_and_a_sex(study):
    people = capture24_labels.read_participants(study[0] / "metadata.csv")
    assert list(people) == ["P001", "P002", "P003"]
    for person in people.values():
        assert person.age in ("18-29", "30-37", "38-52", "53+")
        assert person.sex in ("F", "M")


def test_recordings_need_no_calibration(study):
    config = dataclasses.replace(
        prepare.PRESETS["paper"], min_wear_h=0.0, on_calibration_failure="keep"
    )
    prepared = prepare.prepare_recording(
        read_recording(study[1][0]), config, name="P001", person="P001"
    )
    assert prepared.quality["status"] == "used"
    assert prepared.quality["calibration"]["error_before_mg"] < 1.0


def test_a_stopped_run_goes_on_and_other_folders_are_left_alone(study, tmp_path):
    paths = write_capture24(tmp_path, people=2, hours=0.05, seed=3)
    before = [path.read_bytes() for path in paths]
    kept = paths[0].stat().mtime
    paths[1].unlink()
    assert write_capture24(tmp_path, people=2, hours=0.05, seed=3) == paths
    assert [path.read_bytes() for path in paths] == before
    assert paths[0].stat().mtime == kept
    with pytest.raises(FileExistsError, match="not of this simulation"):
        write_capture24(tmp_path, people=2, hours=0.05, seed=4)
    with pytest.raises(ValueError, match="people must be at least 1"):
        write_capture24(tmp_path, people=0, hours=1, seed=0)
