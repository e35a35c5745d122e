"""Plans of batches: every sample once, little padding, the same whoever goes on."""

import numpy as np
import pytest

from sigjax.data.calls.buckets import (
    BucketConfig,
    chunk_starts,
    padding_share,
    plan,
    shard_rows,
)

CONFIG = BucketConfig()


def _lengths(count=3000, median_s=0.127, spread=1.0):
    """Lengths as of short calls with a long tail."""
    rng = np.random.default_rng(0)
    seconds = np.exp(rng.normal(np.log(median_s), spread, count))
    return np.clip(seconds * 16000, 720, None).astype(np.int64)


def _read(plans):
    """Samples of each call that plans read, as sorted stretches."""
    found = {}
    for batch in plans:
        for row, chunk, chunks, start, samples in zip(*batch[1:], strict=True):
            if row >= 0:
                assert 0 < samples <= batch.width and chunk < chunks
                found.setdefault(int(row), []).append((chunk, start, samples))
    return {row: sorted(parts) for row, parts in found.items()}


def test_every_sample_is_read_once():
    lengths = np.concatenate([_lengths(500), [0, 480_000, 480_001, 1_500_123]])
    found = _read(plan(lengths, CONFIG))
    assert sorted(found) == np.flatnonzero(lengths).tolist()
    for row, parts in found.items():
        at = 0
        for number, (chunk, start, samples) in enumerate(parts):
            assert (chunk, start) == (number, at)
            at += samples
        assert at == lengths[row]
    assert len(found[502]) == 2 and len(found[501]) == 1


@pytest.mark.parametrize(
    ("samples", "last"),
    [(480_000, 480_000), (600_399, 300_399), (600_400, 400), (600_000, 300_000)],
)
def test_a_tail_without_a_frame_joins_the_chunk_before(samples, last):
    starts = chunk_starts(samples, CONFIG)
    assert samples - starts[-1] == last
    (batch,) = [b for b in plan([samples], CONFIG) if last in b.samples]
    assert batch.width >= last


def test_buckets_grow_by_a_quarter_at_most():
    widths = np.array(CONFIG.widths)
    assert widths[0] == 720 and widths[-1] == CONFIG.longest and 300_000 in widths
    assert (widths[1:] <= 1.25 * widths[:-1]).all() and len(widths) < 40


def test_little_is_padding():
    assert padding_share(plan(_lengths(), CONFIG)) < 0.125
    # Clips of one length are not padded to a bucket's width.
    assert padding_share(plan([80_000] * 24, CONFIG)) == 0.0
    # Batches share their rows: none is filled up for the last few.
    several = plan([80_000] * 13, CONFIG)
    assert [(b.row >= 0).sum() for b in several] == [7, 6]


def test_shapes_are_one_for_each_bucket_and_within_the_budget():
    plans = plan(_lengths(), BucketConfig(budget=100_000, multiple=4))
    shapes = {(b.width, len(b.row)) for b in plans}
    assert len(shapes) == len({width for width, _ in shapes})
    assert all(rows % 4 == 0 for _, rows in shapes)
    assert all(rows * width <= 100_000 or rows == 4 for width, rows in shapes)
    widths = [b.width for b in plans]
    assert widths == sorted(widths, reverse=True)


def test_what_is_left_to_read_keeps_its_widths():
    lengths = _lengths(400)
    widths = {b.width for b in plan(lengths, CONFIG)}
    rest = plan(lengths, CONFIG, rows=range(300, 400))
    assert sorted(_read(rest)) == list(range(300, 400))
    assert {b.width for b in rest} < widths


def test_plans_do_not_depend_on_the_run():
    first, second = (plan(_lengths(), CONFIG) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.width == other.width
        np.testing.assert_array_equal(one.row, other.row)


def test_nothing_to_read_is_no_batch():
    assert plan([], CONFIG) == () and plan([0, 0], CONFIG) == ()
    assert plan([720], CONFIG, rows=[]) == () and padding_share(()) == 0.0


def test_processes_share_calls_evenly():
    lengths = _lengths()
    parts = [shard_rows(lengths, index, 3) for index in range(3)]
    assert sorted(np.concatenate(parts)) == list(range(len(lengths)))
    sums = [int(lengths[part].sum()) for part in parts]
    assert max(sums) < 1.02 * min(sums)
    with pytest.raises(ValueError, match=r"index 3 is not in \[0, 3\)"):
        shard_rows(lengths, 3, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratio": 1.0}, "ratio 1.0 must be at least 1.05"),
        ({"multiple": 0}, "multiple 0"),
        ({"most_rows": 2, "multiple": 4}, "no fewer than their multiple"),
        ({"chunk": 500_000}, "must ascend"),
    ],
)
def test_shapes_that_do_not_fit_together_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        BucketConfig(**given)
