"""What a run's log says of the held-out examples at a step."""

import json

from etils import epath

from sigjax.train.writer import validation_at


def test_the_last_line_of_that_step_that_has_validation_figures(tmp_path):
    lines = (
        {"step": 1, "loss": 3.0, "val_loss": 2.0},
        {"step": 2, "loss": 2.0, "val_loss": 1.5, "val_accuracy": 0.4},
        {"step": 2, "loss": 1.9, "val_loss": 1.4, "val_accuracy": 0.5},
        {"step": 2, "loss": 1.9},
        {"step": 3, "loss": 1.0, "val_loss": 1.0},
        {"step": 4, "loss": 1.0},
    )
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text)
    found = [validation_at(epath.Path(tmp_path), step) for step in (1, 2, 4, 5)]
    assert found == [{"loss": 2.0}, {"loss": 1.4, "accuracy": 0.5}, {}, {}]
