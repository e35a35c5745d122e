"""What tests of streams do with batches."""

import itertools

import numpy as np


def batches(data, count, start_step=0, shard_index=0, shard_count=1):
    """The first batches of a training stream from a step on."""
    stream = data.train(
        start_step=start_step, shard_index=shard_index, shard_count=shard_count
    )
    return list(itertools.islice(stream, count))


def equal(one, other):
    """Whether two batches are the same."""
    return one.keys() == other.keys() and all(
        np.array_equal(one[key], other[key]) for key in one
    )
