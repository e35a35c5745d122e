"""Names of clips, and segments laid side by side."""

import types

import numpy as np

from sigjax.data.machine_sound.clips import Clip
from sigjax.evals.sound_embedding import _side_by_side, names_of


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
