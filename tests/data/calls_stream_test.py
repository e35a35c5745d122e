"""Crops of calls, to train an encoder on."""

import numpy as np
import pytest
import soundfile

from sigjax.data.calls.manifest import Call, CallManifest
from sigjax.data.calls.stream import CallCrop, CallData, CallDataConfig, open_call_data
from sigjax.data.clips import ManifestError

CONFIG = CallDataConfig(manifest="", window_s=0.1, batch_size=3, normalise="peak")


def manifest(folder):
    rng = np.random.default_rng(0)
    calls = []
    for number, samples in enumerate((4000, 3000, 1000, 300, 4000, 4000)):
        wave = (rng.normal(size=samples) * 0.1).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", wave, 16000, subtype="FLOAT")
        split = {4: "test", 5: "validation"}.get(number, "train")
        calls.append(
            Call(id=f"c{number}", path=f"{number}.wav", split=split, group=f"g{number}")
        )
    return CallManifest(root=folder, calls=tuple(calls), classes=())


def names(source):
    return [call.id for call in source.calls]


def test_sides_leave_out_tests_and_groups(tmp_path):
    calls = manifest(tmp_path)
    data = CallData(calls, CONFIG)
    assert names(data.train_source) == ["c0", "c1", "c2", "c3"]
    assert names(data.validation_source) == ["c5"]
    assert data.left_out["in without_splits"] == 1 and data.steps_per_epoch == 2
    other = CallDataConfig(
        manifest="", window_s=0.1, batch_size=3, without_groups=("g0",)
    )
    less = CallData(calls, other)
    assert names(less.train_source) == ["c1", "c2", "c3"]
    assert data.fingerprint != less.fingerprint
    bad = CallDataConfig(
        manifest="", window_s=0.1, batch_size=3, without_groups=("jakson",)
    )
    with pytest.raises(ManifestError, match="no call has the group 'jakson'; .* g0"):
        CallData(calls, bad)


def test_a_crop_is_a_stretch_normalised_with_its_length(tmp_path):
    source = CallData(manifest(tmp_path), CONFIG).train_source
    np.testing.assert_array_equal(source.lengths, [4000, 3000, 1000, 300])
    crops = [CallCrop(0, 500, 1600), CallCrop(2, 0, 1600), CallCrop(3, 0, 1600)]
    batch = source.read(crops)
    whole, _ = soundfile.read(tmp_path / "0.wav", dtype="float32")
    expected = whole[500:2100] / np.abs(whole[500:2100]).max()
    np.testing.assert_allclose(batch["wave"][0], expected, rtol=1e-6)
    np.testing.assert_array_equal(batch["samples"], [1600, 1000, 720])
    assert not batch["wave"][1, 1000:].any()
    # 300 samples are less than two frames: repeated.
    np.testing.assert_array_equal(batch["wave"][2, 300:600], batch["wave"][2, :300])
    np.testing.assert_array_equal(batch["row"], [0, 2, 3])


def test_lengths_and_places_are_drawn(tmp_path):
    config = CallDataConfig(
        manifest="", window_s=0.1, shortest_s=0.05, batch_size=3, seed=1
    )
    source = CallData(manifest(tmp_path), config).train_source
    rng = np.random.default_rng(0)
    plans = [source.plan(0, rng) for _ in range(200)]
    assert {800, 1600} >= {min(p.samples for p in plans) // 800 * 800}
    assert max(p.samples for p in plans) <= 1600
    assert all(0 <= p.start <= 4000 - p.samples for p in plans)
    assert len({p.start for p in plans}) > 100
    assert source.fixed_plan(0, 7) == CallCrop(0, 1200, 1600)


def test_a_stream_goes_on_where_it_stopped(tmp_path):
    data = CallData(manifest(tmp_path), CONFIG)
    spec = {k: (v.shape, v.dtype) for k, v in data.spec.items()}
    whole = data.train(start_step=0, shard_index=0, shard_count=1)
    batches = [next(whole) for _ in range(4)]
    assert {k: (v.shape, v.dtype) for k, v in batches[0].items()} == spec
    later = next(data.train(start_step=3, shard_index=0, shard_count=1))
    for name in spec:
        np.testing.assert_array_equal(later[name], batches[3][name])


def test_damage_is_named_and_nothing_to_read_is_refused(tmp_path):
    data = CallData(manifest(tmp_path), CONFIG)
    wave = np.full(4000, np.nan, np.float32)
    soundfile.write(tmp_path / "0.wav", wave, 16000, subtype="FLOAT")
    with pytest.raises(ManifestError, match="call 'c0' cannot be read: .*no numbers"):
        data.train_source.read([CallCrop(0, 0, 1600)])
    with pytest.raises(ManifestError, match="launch.build_calls"):
        open_call_data(CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_s": 0.04}, "at least 0.045"),
        ({"shortest_s": 0.2}, "shortest_s must be 0"),
        ({"validation_fraction": 1.0}, "is not in"),
    ],
)
def test_sizes_without_meaning_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CallDataConfig(**{"manifest": "", "window_s": 0.1, "batch_size": 3} | values)
