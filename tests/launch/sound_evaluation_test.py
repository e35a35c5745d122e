"""What an evaluation of machine sounds makes of its clips."""

from launch.sounds import evaluation
from sigjax.data.machine_sound.clips import Clip


def clips_of(*paths):
    return [
        Clip(path=path, machine="m", section="00", side="test", label=0)
        for path in paths
    ]


def test_stretches_of_one_recording_are_one_group_and_files_of_their_own_none():
    cut = clips_of("a.wav", "a.wav", "b.wav")
    assert evaluation._recordings(cut) == ["a.wav", "a.wav", "b.wav"]
    assert evaluation._recordings(clips_of("a.wav", "b.wav")) is None
