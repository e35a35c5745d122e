"""Cached tokens: those of the window they are of, whoever wrote them and when."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest

from sigjax.data import har, labelled, pipeline, token_table, tokens, windows
from tests.data import tiny_sets

WIDTH = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return tiny_sets.build_counting(
            tmp_path_factory.mktemp("set"),
            patch,
            people=5,
            # The first of P005 is shorter than a window, its last than a label.
            lengths=lambda n: (44, 7) if n == 5 else (363 + 70 * n, 47 + 80 * n),
            record_s=50,
        )


@pytest.fixture(autouse=True)
def many_parts(monkeypatch):
    monkeypatch.setattr(token_table, "_FEW_ITEMS", 7)


@pytest.fixture(scope="module")
def dataset(folder):
    return labelled.LabelledSet.open(folder)


def asked(dataset, **changes):
    given = {"scheme": "Willetts2018", "window_s": 200.0, "stride_s": 50.0}
    given = {**given, "tail": "reach_back", **changes}
    people = given.pop("people", tuple(dataset.people))
    config = windows.WindowConfig(**given)
    return windows.LabelledWindows(dataset, people, config)


def encode(batch, context):
    """In place of an encoder: what a label window holds, and if told, its window."""
    counts = batch["counts"].astype(np.float32)
    b, s, _ = counts.shape
    real = batch["valid"] // 10
    out = np.full((b, s // 10, WIDTH), 77, np.float32)  # Padding: nobody sees it.
    for row in range(b):
        own = counts[row].reshape(-1, 10, 3)[: real[row]]
        out[row, : real[row], :3] = own.mean(axis=1)
        out[row, : real[row], 3] = own.mean() if context and real[row] else 0
        out[row, : real[row], 4] = batch["seed"][row] % 1024
        out[row, : real[row], 5] = batch["view"][row]
    return out


def make(path, source, *, context, encoder="a", stop=None, shard=(0, 1), **options):
    """Writes a table, or `stop` blocks of it; returns it and the blocks' items."""
    given = {"views": 1, "seed": 3, "dtype": "float32", "batch_size": 3, **options}
    laid = {key: given.pop(key) for key in ("views", "seed")}
    items = tokens.Items(source, context=context, **laid)
    table = tokens.TokenTable(
        path, items, width=WIDTH, key={"encoder": encoder}, **given
    )
    index, count = shard
    blocks = table.blocks(shard_index=index, shard_count=count)
    done = []
    for block in itertools.islice(blocks, stop):
        assert len(block.batch["seed"]) == table.batch_size
        table.write(block, encode(block.batch, context))
        done.append((block.part, block.items))
    if stop is None and count == 1:
        table.finish()
    return table, done


def read_all(source):
    return source.read([source.fixed_plan(i, 0) for i in range(len(source))])


def content(table):
    return {
        path.name: path.read_bytes()
        for path in sorted(table.path.iterdir())
        if path.suffix == ".npy"
    }


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tail": "drop"},
        {"tail": "pad", "unlabelled": True},
        {"stride_s": 200.0},
        {"stride_s": 200.0, "window_s": 50.0, "people": ("P002", "P005")},
    ],
)
def test_tokens_are_those_of_their_window(dataset, tmp_path, context, changes):
    source = asked(dataset, **changes)
    table, _ = make(tmp_path, source, context=context)
    found = read_all(tokens.TokenWindows(table, source))
    signal = read_all(source)
    for key in ("label", "person", "window", "seed"):
        np.testing.assert_array_equal(found[key], signal[key])
        assert found[key].dtype == signal[key].dtype
    np.testing.assert_array_equal(found["length"], signal["valid"] // 10)
    direct = encode({**signal, "view": np.zeros(len(source))}, context)
    for row, length in enumerate(found["length"]):
        seen = found["tokens"][row]
        np.testing.assert_array_equal(seen[:length, :4], direct[row, :length, :4])
        assert not seen[length:].any()
        # One seed in a window: the augmentation does not change halfway.
        assert len(np.unique(seen[:length, 4])) <= 1
    assert found["tokens"].dtype == np.float32


def test_windows_that_overlap_share_tokens_without_context(dataset, tmp_path):
    source = asked(dataset)
    shared, done = make(tmp_path / "shared", source, context=False)
    whole = sum(s.samples // 10 for s in dataset.segments)
    assert shared.total == whole
    apart, _ = make(tmp_path / "apart", source, context=True)
    assert apart.total == source.lengths.sum() > 2 * whole
    # P001 has 433 and 127 s: its items have 20, 20, 3 and 12 tokens.
    assert done[0] == (0, range(3)) and shared.missing(0).stop == 4 + 3
    part = np.load(shared.path / "part-00000.npy", mmap_mode="r")
    assert part[[0, 43, 55], :2].tolist() == [[1, 0], [1, 1], [2, 0]]
    assert len(part) == 43 + 12 + 50  # P002 has 503 s.


def test_half_written_tables_continue(dataset, tmp_path):
    source = asked(dataset)
    whole, blocks = make(tmp_path / "whole", source, context=True)
    assert whole.parts > 3
    seen = []
    for stop in (1, 4, 2):
        table, done = make(tmp_path / "cut", source, context=True, stop=stop)
        assert not table.complete
        with pytest.raises(tokens.TokenError, match="items are not embedded"):
            table.finish()
        with pytest.raises(tokens.TokenError, match="not complete"):
            tokens.TokenWindows(table, source)
        seen += done
        # What a run that is killed leaves of the block that it was writing.
        for partial in table.path.glob("*.partial"):
            with partial.open("ab") as file:
                file.write(bytes(4 * WIDTH * 30 + 5))  # Over one item, and a bit.
    table, done = make(tmp_path / "cut", source, context=True)
    assert seen + done == blocks
    assert content(table) == content(whole) and not list(table.path.glob("*.partial"))
    assert make(tmp_path / "cut", source, context=True)[1] == []


def test_a_table_continues_on_other_devices(dataset, tmp_path):
    source = asked(dataset)
    whole, blocks = make(tmp_path / "whole", source, context=True)
    _, done = make(tmp_path / "cut", source, context=True, stop=4)
    table, rest = make(tmp_path / "cut", source, context=True, batch_size=5)
    assert 0 < len(rest) < len(blocks) - len(done)
    assert content(table) == content(whole) and table.fingerprint == whole.fingerprint


@pytest.mark.parametrize("batch_size", [3, 7])  # Of the part's 7 items.
def test_a_part_that_was_whole_but_not_renamed(dataset, tmp_path, batch_size):
    source = asked(dataset)
    same = {"context": True, "batch_size": batch_size}
    table, _ = make(tmp_path, source, **same)
    wanted = content(table)
    (table.path / "table.json").unlink()
    first = table.path / "part-00001.npy"
    first.rename(first.with_suffix(".partial"))
    again, done = make(tmp_path, source, **same)
    assert len(done) == 1 and content(again) == wanted


@pytest.mark.parametrize("count", [2, 5])
def test_any_number_of_processes_write_the_same(dataset, tmp_path, count):
    source = asked(dataset)
    whole, blocks = make(tmp_path / "whole", source, context=False, views=2)
    seen = []
    for index in range(count):
        shard = {"shard": (index, count)}
        table, done = make(tmp_path / "shared", source, context=False, views=2, **shard)
        seen += done
    table.finish()
    assert sorted(seen, key=str) == sorted(blocks, key=str)
    assert content(table) == content(whole)


def test_another_encoder_has_another_table(dataset, tmp_path):
    source = asked(dataset)
    first, _ = make(tmp_path, source, context=True)
    (tmp_path / "notes").mkdir()
    second, done = make(tmp_path, source, context=True, encoder="b")
    assert done and first.fingerprint != second.fingerprint
    assert not first.path.exists() and (tmp_path / "notes").exists()
    fewer = asked(dataset, people=("P001",))
    for other, options in (
        (fewer, {}),
        (source, {"views": 2}),
        (source, {"dtype": "float16"}),
        (source, {"seed": 4}),
    ):
        table, done = make(tmp_path, other, context=True, encoder="b", **options)
        assert done and table.fingerprint != second.fingerprint
    # Another scheme has the same windows, if it labels them, and the same tokens.
    every = asked(dataset, unlabelled=True)
    renamed = asked(dataset, unlabelled=True, scheme="annotation")
    make(tmp_path, every, context=True)
    table, done = make(tmp_path, renamed, context=True)
    assert done == [] and len(tokens.TokenWindows(table, renamed)) == len(renamed)


def test_a_view_is_drawn_at_every_visit(dataset, tmp_path):
    source = asked(dataset, people=("P001",))
    table, _ = make(tmp_path, source, context=True, views=3)
    found = tokens.TokenWindows(table, source)
    assert (read_all(found)["tokens"][:, 0, 5] == 0).all()
    batches = itertools.islice(pipeline.train_batches(found, batch_size=8, seed=1), 12)
    seeds = {}
    for batch in batches:
        for window, token in zip(batch["window"], batch["tokens"][:, 0], strict=True):
            seeds.setdefault((int(window), int(token[5])), set()).add(int(token[4]))
    views = {view for _, view in seeds}
    assert views == {0, 1, 2} and len({w for w, _ in seeds}) == len(source)
    assert all(len(each) == 1 for each in seeds.values())  # Of a view: always the same.
    assert len({min(each) for each in seeds.values()}) > len(source)


def test_float16_keeps_eleven_bits(dataset, tmp_path):
    source = asked(dataset, people=("P003",))
    exact, _ = make(tmp_path / "a", source, context=True)
    table, _ = make(tmp_path / "b", source, context=True, dtype="float16")
    one, other = (read_all(tokens.TokenWindows(t, source)) for t in (exact, table))
    assert other["tokens"].dtype == np.float16
    np.testing.assert_allclose(other["tokens"], one["tokens"], rtol=2**-11)


def test_sources_pickle(dataset, tmp_path):
    source = asked(dataset)
    table, _ = make(tmp_path, source, context=False, views=2)
    found = tokens.TokenWindows(table, source)
    read_all(found)
    copy = pickle.loads(pickle.dumps(found))
    whole, again = (
        pipeline.train_batches(s, batch_size=4, seed=5) for s in (found, copy)
    )
    for one, another in itertools.islice(zip(whole, again, strict=True), 4):
        for key, value in one.items():
            np.testing.assert_array_equal(value, another[key])


@pytest.mark.parametrize("context", [True, False])
def test_a_head_sees_the_windows_that_an_encoder_would(dataset, tmp_path, context):
    config = har.HarDataConfig(
        dataset=str(dataset.path),
        scheme="Willetts2018",
        split="",
        window_s=200.0,
        stride_s=50.0,
        batch_size=4,
        test_fraction=0.2,
        validation_fraction=0.25,
        train_fraction=0.5,
        missing_classes="ignore",
    )
    data = har.HarData(dataset, config)
    made = {}
    for side in ("train", "validation"):
        source = data.windows(side)
        table, _ = make(tmp_path / side, source, context=context)
        made[side] = tokens.TokenWindows(table, source)
    head = tokens.TokenData(data, **made)
    assert head.steps_per_epoch == data.steps_per_epoch > len(made["train"]) / 4
    shards = [{"shard_index": i, "shard_count": 2} for i in (0, 1)]
    whole = {"shard_index": 0, "shard_count": 1}
    found = itertools.islice(head.train(start_step=2, **whole), 5)
    halves = [head.train(start_step=2, **shard) for shard in shards]
    signal = data.train(start_step=2, **whole)
    for batch, other, *parts in zip(found, signal, *halves, strict=False):
        for key in ("label", "person", "window", "seed"):
            np.testing.assert_array_equal(batch[key], other[key])
        spec = {key: (v.shape, v.dtype) for key, v in head.spec.items()}
        assert spec == {key: (v.shape, v.dtype) for key, v in batch.items()}
        for index, part in enumerate(parts):
            for key, value in part.items():
                np.testing.assert_array_equal(value, batch[key][index::2])
    pairs = zip(head.evaluation(**whole), data.evaluation(**whole), strict=True)
    for batch, other in pairs:
        for key in ("label", "person", "window", "weight"):
            np.testing.assert_array_equal(batch[key], other[key])
    assert head.fingerprint.items() > data.fingerprint.items()
    with pytest.raises(ValueError, match="tokens are of other people"):
        tokens.TokenData(data, made["train"])
    alone = har.HarData(dataset, dataclasses.replace(config, validation_fraction=0.0))
    every = alone.windows("train")
    table, _ = make(tmp_path / "alone", every, context=context)
    nobody = tokens.TokenData(alone, tokens.TokenWindows(table, every))
    assert list(nobody.evaluation(**whole)) == []


def test_what_cannot_be_kept(dataset, tmp_path):
    source = asked(dataset, people=("P001",))
    items = tokens.Items(source, context=True)
    options = {"width": WIDTH, "batch_size": 2, "key": {}}
    table = tokens.TokenTable(tmp_path, items, **options)
    blocks = list(table.blocks())
    good = np.zeros((2, 20, WIDTH), np.float32)
    with pytest.raises(ValueError, match=r"\[b, n, 6\], got \(2, 20, 5\)"):
        table.write(blocks[0], good[..., :5])
    later = next(block for block in blocks if block.items.start > 0)
    if later.part == blocks[0].part:
        with pytest.raises(ValueError, match="out of turn"):
            table.write(later, good)
    for bad in (np.nan, 1e6):
        with pytest.raises(tokens.TokenError, match="P001:0:0 are not finite as float"):
            table.write(blocks[0], good + bad)
    table.write(blocks[0], good)
    with pytest.raises(ValueError, match="out of turn"):
        table.write(blocks[0], good)
    with pytest.raises(ValueError, match="got 0, 2 and 'float16'"):
        tokens.TokenTable(tmp_path, items, **{**options, "width": 0})
    with pytest.raises(ValueError, match="not from a URL"):
        tokens.TokenTable("gs://bucket/tokens", items, **options)
    with pytest.raises(ValueError, match="views must be at least 1"):
        tokens.Items(source, context=True, views=0)


def test_tables_that_are_not_of_these_windows(dataset, tmp_path):
    source = asked(dataset)
    table, _ = make(tmp_path, source, context=True)
    with pytest.raises(tokens.TokenError, match="of other windows"):
        tokens.TokenWindows(table, asked(dataset, stride_s=100.0))
    found = tokens.TokenWindows(table, source)
    for path in table.path.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(tokens.TokenError, match="delete .* and run again"):
        read_all(found)
