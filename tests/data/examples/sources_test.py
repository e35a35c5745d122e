"""What each source of examples gives, and what it refuses."""

import numpy as np
import pytest

from sigjax.data.clips import ManifestError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.examples import clips, example_set, mnist
from sigjax.data.examples import points as points_module
from sigjax.data.examples.arrays import arrays
from sigjax.data.examples.config import PointsConfig
from sigjax.data.examples.stream import ExampleError
from tests.data import tiny_sets
from tests.data.examples import tiny_examples
from tests.data.examples.tiny_examples import opened


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    found = opened("digits").train_set
    images, label = load_digits(return_X_y=True)
    assert found.x.shape == (1797, 8, 8, 1) and found.x.dtype == np.uint8
    np.testing.assert_array_equal(found.x.reshape(1797, 64), images)
    np.testing.assert_array_equal(found.label, label)


def test_mnist_goes_through_tfds_and_keeps_the_order_of_its_files(tmp_path):
    tiny_examples.write_mnist(tmp_path, (12, 5))
    data = opened("mnist", path=str(tmp_path), held_out_splits=("test",))
    assert data.train_set.shape == (28, 28, 1)
    assert data.train_set.x[:, 0, 0, 0].tolist() == list(range(12))
    assert data.train_set.label.tolist() == [*range(10), 0, 1]
    assert data.held_out_set.x[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104]
    assert (tmp_path / "mnist_bytes" / "1.0.0" / "dataset_info.json").exists()
    for file in (tmp_path / "downloads" / "manual").iterdir():
        file.unlink()  # What is built needs them no more.
    again = opened("mnist", path=str(tmp_path), held_out_splits=("test",))
    assert again.fingerprint == data.fingerprint


def test_mnist_says_what_to_do_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "ADDRESS", "http://localhost:9/")
    with pytest.raises(DatasetError, match="t10k-labels.*downloads/manual.*digits"):
        opened("mnist", path=str(tmp_path))


def test_files_that_are_no_idx_are_refused(tmp_path):
    tiny_examples.write_mnist(tmp_path, (3, 2))
    file = tmp_path / "downloads" / "manual" / "train-labels-idx1-ubyte.gz"
    with pytest.raises(DatasetError, match="begins otherwise"):
        mnist.read_idx(file, 0x803)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DatasetError, match="no packed file"):
        mnist.read_idx(file, 0x801)


def test_points_of_a_ring_lie_at_its_centres():
    config = PointsConfig(count=4000, modes=8, radius=2.0, sd=0.02)
    data = opened("points", points=config)
    found = data.train_set
    centres = points_module.ring_centres(config)
    np.testing.assert_allclose(np.hypot(*centres.T), 2.0, rtol=1e-6)
    off = found.x - centres[found.label]
    assert abs(off.std() - 0.02) < 0.001 and np.abs(off).max() < 0.02 * 6
    assert np.bincount(found.label).tolist() == [500] * 8
    assert data.simulated and "SIMULATED" in data.remarks[0]


def test_points_of_a_spiral_lie_on_it():
    plain = PointsConfig(kind="spiral", count=100, sd=0.0)
    found = opened("points", points=plain).train_set
    curve = points_module.spiral(np.linspace(0, 1, 4001), plain)
    far = np.linalg.norm(found.x[:, None] - curve[None], axis=-1).min(axis=1)
    assert far.max() < 3e-3 and (found.label == -1).all() and found.classes == ()


def test_clips_are_cut_to_their_middle_or_padded(tmp_path):
    path = tiny_examples.write_calls(tmp_path)
    data = opened(
        "clips", path=str(path), samples=400, rate_hz=8000, held_out_splits=("test",)
    )
    found = data.train_set
    assert found.x.shape == (4, 400) and found.x.dtype == np.int16
    ramp = np.arange(600)
    np.testing.assert_array_equal(found.x[0], [*ramp[:200], *np.zeros(200)])
    np.testing.assert_array_equal(found.x[2], 2000 + ramp[:400])
    np.testing.assert_array_equal(found.x[3], 3000 + ramp[50:450])
    assert found.ids.tolist() == ["c0", "c1", "c2", "c3"]
    assert found.group.tolist() == ["ben"] * 4
    assert data.held_out_set.group.tolist() == ["anna"]
    assert found.classes == ("digit0", "digit1") and found.rate_hz == 8000
    told = " ".join(data.remarks)
    assert "1 clips left out" in told and "c9" in told and "2 clips cut" in told


def test_a_wave_of_its_length_is_left_as_it_is():
    wave = np.arange(5, dtype=np.int16)
    np.testing.assert_array_equal(clips.centred(wave, 5), wave)


def test_clips_none_of_which_can_be_read_are_an_error(tmp_path):
    tiny_examples.write_calls(tmp_path)
    table = tmp_path / "bad.csv"
    table.write_text("path\nbroken.wav\n")
    with pytest.raises(ExampleError, match="no clip can be read.*broken"):
        opened("clips", path=str(table), samples=400, rate_hz=8000)
    table.write_text("file\nbroken.wav\n")
    with pytest.raises(ManifestError, match="no column 'path'"):
        opened("clips", path=str(table), samples=400, rate_hz=8000)


def test_windows_have_the_label_that_most_of_them_has(tmp_path, monkeypatch):
    """Records count: axis 0 is the person, 1 the stretch, 2 the sample."""
    lengths = {1: [65], 2: [40, 15]}
    path = tiny_sets.build_counting(
        tmp_path, monkeypatch, people=2, lengths=lengths.get, record_s=10.0
    )
    data = opened("windows", path=str(path), window_s=20.0, held_out_groups=("P002",))
    one, two = data.train_set, data.held_out_set
    assert one.x.shape == (3, 20, 3) and two.x.shape == (2, 20, 3)
    assert one.units == "g" and one.rate_hz == 1.0
    step = one.x[0, 1, 2] - one.x[0, 0, 2]
    samples = one.x[:, :, 2] / step
    np.testing.assert_allclose(samples, np.arange(60).reshape(3, 20), atol=1e-4)
    assert two.group.tolist() == ["P002"] * 2 and one.group.tolist() == ["P001"] * 3
    # Label windows 0 to 4 of P001 are "sitting", then "walking", the seventh none.
    assert [one.classes[n] for n in one.label] == [
        "sit-stand",
        "sit-stand",
        "sit-stand",
    ]
    # 5 s and 15 s of 120 s.
    assert "0.006 of 0.033 hours" in data.remarks[1]
    with pytest.raises(ExampleError, match="window_s=7 is not a whole number"):
        opened("windows", path=str(path), window_s=7.0)


def test_arrays_are_read_with_what_is_known_of_them(tmp_path):
    path = tmp_path / "x.npz"
    x = np.random.default_rng(0).normal(size=(6, 4))
    names = np.array(["b", "a", "", "b", "a", "a"])
    np.savez(path, x=x, label=names, group=list("uuvvww"), rate_hz=25.0, units="g")
    found = opened("arrays", path=str(path), held_out_groups=("v",)).train_set
    assert found.x.dtype == np.float32 and found.classes == ("a", "b")
    assert found.label.tolist() == [1, 0, 0, 0]
    assert (found.rate_hz, found.units) == (25.0, "g")
    np.savez(path, x=x, label=np.array([0, 3, -1, 1, 0, 0]))
    assert arrays(path).examples.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((3, 2), np.int64)}, "int64; give uint8, int16, float32"),
        ({"x": np.zeros(3, np.float32)}, r"x is \[3\]"),
        ({"x": np.zeros((0, 3), np.float32)}, "none empty"),
        ({"x": np.array([[0.0], [np.nan]])}, "1 of 2 examples have NaN.*'1'"),
        ({"x": np.zeros((2, 2)), "label": np.zeros(3, int)}, r"label is \[3\]"),
        ({"x": np.zeros((2, 2)), "label": np.zeros(2)}, "not integers"),
        ({"x": np.zeros((2, 2)), "ids": ["a", "a"]}, "'a' is there twice"),
        ({"x": np.zeros((2, 2)), "split": ["train"]}, r"split is \[1\]"),
        (
            {"x": np.zeros((2, 2)), "label": np.array([0, 2]), "classes": ["a", "b"]},
            "labels are 0 to 2, and there are 2 classes",
        ),
        ({"y": np.zeros((2, 2))}, "x is needed"),
        ({"x": np.zeros((2, 2)), "labels": np.zeros(2, int)}, "label, group"),
        ({"x": np.array([[None]])}, "no .npz of plain arrays"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, given, message):
    path = tmp_path / "x.npz"
    np.savez(path, **given)
    with pytest.raises(ExampleError, match=message):
        opened("arrays", path=str(path))


def test_a_file_that_is_not_there_or_no_archive(tmp_path):
    with pytest.raises(FileNotFoundError):
        opened("arrays", path=str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("x")
    with pytest.raises(ExampleError, match="numpy.savez"):
        opened("arrays", path=str(tmp_path / "text.npz"))
    with pytest.raises(ExampleError, match="needs data.path: a table of"):
        opened("clips", samples=1, rate_hz=1)


def test_digests_tell_values_labels_groups_and_ids_apart():
    x = np.zeros((3, 2), np.float32)
    base = {"origin": "here", "label": np.zeros(3, int), "classes": ["a", "b"]}
    made = [
        example_set.example_set(x, **base),
        example_set.example_set(x + 1, **base),
        example_set.example_set(x, **{**base, "label": np.ones(3, int)}),
        example_set.example_set(x, **base, group=["u", "u", "v"]),
        example_set.example_set(x, **base, ids=["a", "b", "c"]),
    ]
    assert len({example_set.digest(one) for one in made}) == 5
    assert example_set.digest(made[0]) == example_set.digest(made[0])
