"""Our side of the benchmark does what it says: each window is embedded once."""

import numpy as np
import pytest

from benchmarks import har_finetune
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifierConfig

TINY = WindowClassifierConfig(
    patch_samples=har_finetune.PATCH,
    channels=3,
    pool=1,
    mae=MaeConfig(patch_size=900, width=8, depth=1, num_heads=1, mlp_dim=8),
    head=HeadConfig(kind="linear", classes=har_finetune.CLASSES),
)


@pytest.fixture
def finetuning():
    windows = har_finetune.make_windows(5, patches=4)
    return har_finetune.Finetuning(TINY, windows, batch=2, epochs=3)


def test_a_run_embeds_each_window_once_and_visits_each_every_epoch(finetuning):
    embedded, visited = [], []
    embed, batch_of = finetuning._embed, finetuning.batch_of

    def counted(variables, counts, scale):
        embedded.extend(counts[:, 0, 0])
        return embed(variables, counts, scale)

    def seen(tokens, rows):
        visited.extend(rows)
        return batch_of(tokens, rows)

    finetuning._embed, finetuning.batch_of = counted, seen
    assert finetuning.run() > 0
    assert embedded == list(finetuning.windows["counts"][:, 0, 0])
    # The first batch is for the head's shapes.
    assert sorted(visited[2:]) == sorted([*range(5)] * 3)
    assert finetuning.embed_s > 0 and finetuning.head_epoch_s > 0
    assert finetuning.head == 8 * 6 + 6


def test_tokens_are_those_of_the_windows_in_order(finetuning):
    tokens = finetuning.embed()
    assert (tokens.shape, tokens.dtype) == ((5, 4, 8), np.float16)
    other = finetuning.windows["counts"].copy()
    other[3] += 1000
    finetuning.windows["counts"] = other
    changed = np.abs(finetuning.embed() - tokens).max(axis=(1, 2)) > 0
    assert changed.tolist() == [False, False, False, True, False]


def test_the_full_sizes_are_the_papers():
    work = har_finetune.Work(encoder="mae", head="linear", windows=1, batch=1, epochs=1)
    assert work.model.mae is not None and work.model.mae.width == 256
    windows = har_finetune.make_windows(2)
    assert windows["counts"].shape == (2, 50 * 60 * 30, 3)
    assert -1 in windows["label"] and windows["label"].max() == 5
