"""The encoder's benchmark: what lengths it takes, and that it asks for fair work."""

import numpy as np

from benchmarks import encoder
from sigjax.data.calls.buckets import BucketConfig, plan


def test_lengths_are_those_of_calls():
    lengths = encoder.mixed_lengths(2000)
    assert np.median(lengths) / encoder.RATE_HZ < 0.14
    assert np.median(lengths) / encoder.RATE_HZ > 0.11
    assert lengths.min() == encoder.LEAST
    assert 60 < lengths.max() / encoder.RATE_HZ <= 180
    assert (np.diff(lengths) < 0).any()  # in no order that would help
    np.testing.assert_array_equal(lengths, encoder.mixed_lengths(2000))


def test_batches_hold_each_clip_behind_zeros():
    random = np.random.default_rng(0)
    clips = [random.normal(size=n).astype("f4") for n in (1000, 1100, 5000)]
    config = BucketConfig(budget=4000)
    for batch in plan([len(clip) for clip in clips], config):
        wave = encoder._filled(batch, clips)
        assert wave.shape == (len(batch.row), batch.width)
        for row, count, own in zip(batch.row, batch.samples, wave, strict=True):
            np.testing.assert_array_equal(own[:count], clips[row])
            assert not own[count:].any()


def test_sizes_go_to_transformers_under_its_names():
    assert encoder._sizes("hubert", "nano")["config"]["hidden_size"] == 128
