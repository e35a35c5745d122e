"""Names of clips, segments laid side by side, and devices that share a batch."""

import os
import subprocess
import sys
import types

import numpy as np

from sigjax.data.machine_sound.clips import Clip
from sigjax.evals.sound_embedding import _side_by_side, names_of, on_all_devices


def test_two_folders_may_hold_files_of_one_name():
    of = dict(machine="M1", section="00", side="test")
    clips = [
        Clip(path="healthy/1.wav", **of),
        Clip(path="fault/1.wav", start_s=2.5, end_s=3.0, **of),
        Clip(path="fan/test/section_00_0001.wav", year=2022, **of),
    ]
    found = names_of(types.SimpleNamespace(clips=clips), np.arange(3))
    assert found.tolist() == ["healthy/1.wav", "fault/1.wav@2.5", "section_00_0001.wav"]


def test_clips_of_fewer_segments_have_theirs_repeated():
    values = np.arange(6.0)[:, None] * [1, 10]
    found = _side_by_side(values, types.SimpleNamespace(counts=np.array([1, 3, 2])))
    assert found[..., 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 4]]
    one = _side_by_side(values, types.SimpleNamespace(counts=np.ones(6, int)))
    np.testing.assert_array_equal(one, values)


TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from sigjax.evals.sound_embedding import on_all_devices
from sigjax.signal.mel import MelConfig, log_mel

def function(variables, x):
    spectrum = log_mel(x, MelConfig(rate_hz=8000, n_fft=64, hop=32, n_mels=8))
    return {"gain": variables * x.sum(axis=1), "spectrum": spectrum}

x = np.random.default_rng(0).normal(size=(4, 4000)).astype(np.float32)
run, expected = on_all_devices(function), function(np.float32(3), jnp.asarray(x))
for rows, devices in ((4, 2), (3, 1)):
    bound = jax.device_put(np.float32(3), jax.devices()[0])
    found = run(bound, x[:rows])
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name][:rows], rtol=1e-4, atol=1e-3)
    assert len(found["spectrum"].sharding.device_set) == devices, devices
"""


def test_devices_share_a_batch_that_they_divide():
    flags = "--xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags}
    command = [sys.executable, "-c", TWO_DEVICES]
    subprocess.run(command, check=True, timeout=100, env=environment)


def test_one_device_needs_no_sharing():
    run = on_all_devices(lambda variables, x: variables + x)
    np.testing.assert_array_equal(run(np.float32(1), np.arange(3.0)), [1, 2, 3])
