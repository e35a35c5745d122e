"""Figures of a side of mixtures, and the files that hold them."""

import csv
import io
import json

import numpy as np
import PIL.Image
import pytest
from etils import epath

from sigjax.evals.segmentation import Judged, Score, lines, write_evaluation

CLASSES, FRAME_S = ("bark", "rain", "unheard"), 0.02


def one(events, said, frames=30, bands=8):
    """A mixture whose events `(class, start, stop)` fill all bands."""
    cells = np.zeros((2, frames, bands, 3), bool)
    for to, some in zip(cells, (events, said), strict=True):
        for label, start, stop in some:
            to[start:stop, :, label] = True
    spectrogram = np.random.default_rng(0).random((frames, bands))
    return Judged(
        spectrogram=spectrogram,
        true=cells[0],
        said=np.where(cells[1], 0.9, 0.1),
        true_frames=cells[0].any(axis=1),
        said_frames=cells[1].any(axis=1),
    )


def scored(*mixtures):
    score = Score(CLASSES, threshold=0.5, frame_s=FRAME_S, tolerances_s=(0.04, 0.1))
    for mixture in mixtures:
        score.add(mixture)
    return score.figures()


def test_what_is_right_is_one_and_what_is_not_there_is_no_figure():
    events = [(0, 3, 9), (1, 5, 20)]
    found = scored(one(events, events), one([], []))
    assert (found["cells"]["f1"], found["cells"]["iou_macro"]) == (1.0, 1.0)
    assert found["frames"]["f1_macro"] == 1.0
    assert [b["f1"] for b in found["boundaries"]] == [1.0, 1.0]
    assert found["classes"][2]["iou"] is None
    counts = [found[f"silent_mixtures{k}"] for k in ("", "_with_a_false_event")]
    assert counts == [1, 0]
    nothing = scored(one([], []))
    assert nothing["cells"]["f1"] is None and "F1 none" in lines(nothing)[1]


def test_boundaries_that_are_off_count_within_their_tolerance():
    true, said = [(0, 5, 15)], [(0, 8, 15)]  # an onset three frames late
    found = scored(one(true, said), one([], [(1, 3, 6)]))
    near, far = found["boundaries"]
    assert (near["tolerance_frames"], far["tolerance_frames"]) == (2, 5)
    # True: one onset, one offset; said: two of each, of which one is of silence.
    assert near["onset_f1"] == 0.0 and near["offset_f1"] == pytest.approx(2 / 3)
    assert near["f1"] == pytest.approx(2 / 6, abs=1e-6)
    assert far["f1"] == pytest.approx(4 / 6, abs=1e-6)
    assert near["f1_macro"] == pytest.approx((0.5 + 0.0) / 2)
    assert found["silent_mixtures_with_a_false_event"] == 1
    assert found["cells"]["iou"] == pytest.approx(7 / 13, abs=1e-6)
    assert found["classes"][0]["boundary_f1_0.04s"] == 0.5


@pytest.mark.parametrize("masks", [True, False])
def test_files_hold_the_figures_and_a_picture(masks, tmp_path):
    mixtures = [one([(0, 3, 9)], [(0, 3, 8)]), one([], []), one([(1, 0, 4)], [])]
    if not masks:
        mixtures = [
            Judged(
                spectrogram=m.spectrogram,
                true=m.true_frames,
                said=m.said_frames * 0.8,
                true_frames=m.true_frames,
                said_frames=m.said_frames,
            )
            for m in mixtures
        ]
    score = Score(CLASSES, threshold=0.5, frame_s=FRAME_S, tolerances_s=(0.1,))
    folder = epath.Path(tmp_path) / "test"
    found = write_evaluation(
        folder,
        iter(mixtures),
        score,
        about={"side": "test"},
        title="a set, test",
        note="SIMULATED data",
        frame_s=FRAME_S,
        band_hz=np.geomspace(100, 4000, 8),
        examples=2,
    )
    assert json.loads((folder / "metrics.json").read_text()) == found
    assert found["about"] == {"side": "test"} and found["mixtures"] == 3
    rows = list(csv.DictReader(io.StringIO((folder / "per_class.csv").read_text())))
    assert [row["class"] for row in rows] == list(CLASSES)
    picture = np.asarray(
        PIL.Image.open(io.BytesIO((folder / "examples.png").read_bytes())).convert(
            "RGB"
        )
    )
    assert picture.shape[1] > 1000 and picture.std() > 20
