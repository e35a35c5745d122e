"""The study on ESC-10: cells, pairs, intervals, tables and figure."""

import dataclasses
import json
import types

import numpy as np
import PIL.Image
import pytest
from etils import epath

from launch import event_study, pages
from launch.audio_events import (
    study_cells,
    study_data,
    study_page,
    study_plain,
    study_sizes,
    study_tables,
    study_training,
)
from launch.reproduction.runner import NOT_DONE, Outcome
from sigjax.data.clips import ManifestError
from sigjax.evals import event_study_figures

SIZE = study_sizes.SIZES["smoke"]


def made_up(each=2, samples=40):
    """Clips of two classes and five folds, `each` of each class and fold, in pairs."""
    names, rng = ("cat", "dog"), np.random.default_rng(0)
    fold = np.repeat(np.arange(1, 6), 2 * each)
    label = np.tile(np.repeat([0, 1], each), 5).astype(np.int32)
    wave = rng.integers(-9000, 9000, (len(fold), samples)).astype(np.int16)
    return study_data.EventClips(
        path=tuple(f"{i}.ogg" for i in range(len(fold))),
        name=names,
        label=label,
        fold=fold,
        source=np.array([str(i // 2) for i in range(len(fold))]),
        wave=wave,
        fingerprint="HASH",
    )


# --- intervals and pairs ---


def test_differences_are_of_the_same_clips_folds_and_seeds():
    clips = made_up()
    rng = np.random.default_rng(1)
    reference = (rng.random((3, 20)) < 0.5).astype(float)
    better = reference.copy()
    better[0, clips.fold == 2] = 1.0  # Ahead where it was not right before,
    better[1, clips.fold == 3] = 0.0  # and behind where it was.
    runs = {
        "with": study_tables.Runs(reference, {}),
        "without": study_tables.Runs(better, {}),
        "laplace": study_tables.Runs(reference.copy(), {}),
        "ours": study_tables.Runs(np.ones((1, 20)), {}),
    }
    rows = {row["variant"]: row for row in study_tables.rows(clips, runs)}
    assert "less" not in rows["with"]
    for end in ("value", "low", "high"):
        assert rows["laplace"]["less"][end] == 0.0
    assert rows["laplace"]["less"]["pairs"] == {"ahead": 0, "level": 15, "behind": 0}
    found = rows["without"]["less"]
    assert found["value"] == pytest.approx((better - reference).mean())
    assert found["low"] <= found["value"] <= found["high"]
    assert found["pairs"] == {"ahead": 1, "level": 13, "behind": 1}
    by_fold = [(better - reference)[:, clips.fold == n].mean() for n in range(1, 6)]
    assert found["folds"] == pytest.approx(by_fold)
    # What draws nothing is compared with every seed.
    assert rows["ours"]["runs"] == 5 and rows["with"]["runs"] == 15
    assert sum(rows["ours"]["less"]["pairs"].values()) == 15
    assert rows["ours"]["less"]["value"] == pytest.approx(1 - reference.mean())
    assert rows["ours"]["accuracy"]["sd"] is None
    each = reference.mean(axis=1)
    assert rows["with"]["accuracy"]["sd"] == pytest.approx(each.std(ddof=1))
    assert rows["with"]["classes"]["dog"] == pytest.approx(
        reference[:, clips.label == 1].mean()
    )


def test_intervals_are_over_sources_and_over_seeds():
    clips = made_up(each=8)
    rng = np.random.default_rng(2)
    own = (rng.random(len(clips)) < 0.5).astype(float)
    by_source = np.repeat((rng.random(len(clips) // 2) < 0.5).astype(float), 2)

    def width(value, of=clips):
        (row,) = study_tables.rows(of, {"with": study_tables.Runs(value, {})})
        return row["accuracy"]["high"] - row["accuracy"]["low"]

    apart = dataclasses.replace(clips, source=np.array(clips.path))
    # Clips that are right or wrong together are fewer than they seem.
    assert width(by_source[None]) > 1.2 * width(by_source[None], apart)
    same = np.stack([own, own, own])
    moved = np.stack([own, np.ones_like(own), np.zeros_like(own)])
    assert width(same) == pytest.approx(width(own[None]), rel=0.15)
    assert width(moved) > 2 * width(same)


def test_other_clips_are_no_comparison():
    clips = made_up()
    half = np.where(clips.fold < 4, 1.0, np.nan)[None]
    runs = {"with": np.ones((1, 20)), "without": half}
    kept = {name: study_tables.Runs(value, {}) for name, value in runs.items()}
    with pytest.raises(ValueError, match="different clips"):
        study_tables.rows(clips, kept)
    (row,) = study_tables.rows(clips, {"without": kept["without"]})
    assert len(row["folds"]) == 3 and row["accuracy"]["value"] == 1.0
    assert study_tables.rows(clips, {}) == []


# --- cells ---


def cells_of(clips, **changes):
    given = {"variants": study_sizes.VARIANTS, "seeds": 2, "folds": 5, **changes}
    return study_cells.make_cells(clips, "PATH", SIZE, **given)


def test_a_cell_for_each_variant_seed_and_fold_and_one_fit():
    clips = made_up()
    found = cells_of(clips)
    networks = [c for c in found.values() if c.size is not None]
    assert len(networks) == 7 * 2 * 5 and len(found) == 70 + 5
    # The first seed is whole before the second begins.
    assert [c.seed for c in found.values()] == sorted(c.seed for c in found.values())
    assert {c.scored_fold for c in found.values()} == {1, 2, 3, 4, 5}
    inner = cells_of(clips, validate=True)
    assert not set(inner) & set(found)
    for cell in inner.values():
        assert cell.scored_fold == cell.fold % 5 + 1
    other = dataclasses.replace(clips, fingerprint="OTHER")
    assert not set(cells_of(other)) & set(found)
    recipe = dataclasses.replace(SIZE.recipe, epochs=SIZE.recipe.epochs + 1)
    longer = dataclasses.replace(SIZE, recipe=recipe)
    changed = study_cells.make_cells(
        *(clips, "PATH", longer), variants=study_sizes.VARIANTS, seeds=2, folds=5
    )
    # The recipe is no part of what learns no features.
    assert {found[key].variant for key in set(changed) & set(found)} == {"plain"}


@pytest.mark.parametrize("size", study_sizes.SIZES.values(), ids=study_sizes.SIZES)
def test_variants_differ_in_what_table_4_changes_alone(size):
    made = {v: size.model(v, 10) for v in study_sizes.DEFORMABLE}
    first = dataclasses.asdict(made["with"].dat)
    for name, model in made.items():
        own = dataclasses.asdict(model.dat)
        changed = {key for key in own if own[key] != first[key]}
        assert changed == set(study_sizes.DEFORMABLE[name]) - {"noise_scale"}, name
        assert model.dat.noise_scale == 0.005
    assert size.model("ast", 10).dat is None
    for model in (*made.values(), size.model("ast", 10)):
        study_training.AudioEvents(model, size.task)  # They fit what it gives them.


def outcome(clips, cell, right):
    tested = np.flatnonzero(clips.fold == cell.scored_fold)
    label = clips.label[tested]
    said = np.where(right, label, 1 - label).tolist()
    names = [cell.variant] if cell.size is not None else [study_plain.SVM]
    result = {
        "tested": tested.tolist(),
        "predicted": dict.fromkeys(names, said),
        "facts": {name: {"train_accuracy": 1.0} for name in names},
        "versions": {"sigjax": "1", "jax": "2", "python": "3"},
        "devices": ["cpu"],
        "git": "abc",
    }
    return Outcome(result, "", {"seconds": 2.0, "result": result})


def test_seeds_count_once_all_their_folds_are_there():
    clips = made_up()
    found = cells_of(clips, variants=("with", "plain"))
    outcomes = {key: outcome(clips, cell, True) for key, cell in found.items()}
    runs = study_cells.runs_of(clips, found, outcomes, 5)
    assert {name: len(own.correct) for name, own in runs.items()} == {
        "with": 2,
        study_plain.SVM: 1,
    }
    assert np.all(runs["with"].correct == 1) and runs["with"].facts["seconds"] == 2.0
    last = [key for key, cell in found.items() if cell.seed == 1][-1]
    runs = study_cells.runs_of(clips, found, {**outcomes, last: NOT_DONE}, 5)
    assert len(runs["with"].correct) == 1
    first = next(iter(found))
    runs = study_cells.runs_of(clips, found, {**outcomes, first: NOT_DONE}, 5)
    assert "with" not in runs


@pytest.mark.parametrize("validate", [False, True])
def test_a_cell_trains_on_no_fold_that_is_held_out(validate, monkeypatch):
    clips, asked = made_up(), {}

    def train(size, variant, given, rows, *, seed):
        asked[variant] = set(given.fold[rows].tolist())
        score = np.eye(2)[given.label] - 1.0  # Right about all.
        score[given.fold == 3] = score[given.fold == 3, ::-1]  # But for this fold.
        return study_training.Trained(score, (2.0, 1.0), 7)

    def predict(given, found, rows):
        assert found == "features"
        asked["plain"] = set(given.fold[rows].tolist())
        return {study_plain.SVM: given.label}

    monkeypatch.setattr(study_training, "train", train)
    monkeypatch.setattr(study_plain, "predict", predict)
    monkeypatch.setattr(study_plain, "features", lambda given: "features")
    variants, work = ("with", "plain"), study_cells.Work(clips)
    chosen = cells_of(clips, variants=variants, seeds=1, validate=validate)
    by_fold = {(c.variant, c.fold): c for c in chosen.values()}
    result = work(by_fold["with", 2], None)
    assert asked["with"] == ({1, 4, 5} if validate else {1, 3, 4, 5})
    assert set(clips.fold[result["tested"]]) == ({3} if validate else {2})
    label = clips.label[result["tested"]]
    expected = 1 - label if validate else label
    assert result["predicted"]["with"] == expected.tolist()
    right = 1.0 if validate else 0.75
    assert result["facts"]["with"]["train_accuracy"] == right
    assert json.loads(json.dumps(result))["score"][0] == result["score"][0]
    work(by_fold["plain", 5], None)
    assert asked["plain"] == ({2, 3, 4} if validate else {1, 2, 3, 4})


# --- training ---


def test_clips_begin_anywhere_and_keep_their_samples():
    recipe = dataclasses.replace(SIZE.recipe, shift=True, gain_db=0.0)
    wave = made_up().wave[:4]
    rolled = study_training.augmented(wave, recipe, np.random.default_rng(0))
    assert rolled.dtype == np.int16 and not np.array_equal(rolled, wave)
    for own, before in zip(rolled, wave, strict=True):
        starts = [np.roll(before, -n).tolist() for n in range(len(before))]
        assert own.tolist() in starts
    louder = dataclasses.replace(recipe, shift=False, gain_db=20.0)
    found = study_training.augmented(wave, louder, np.random.default_rng(0))
    ratio = np.abs(found).max(axis=1) / np.abs(wave).max(axis=1)
    assert np.ptp(ratio) > 0.2 and ratio.max() < 32768 / np.abs(wave).max() + 1


class Noted:
    """Stands for what is compiled: notes batches, and knows a class by its level."""

    def __init__(self):
        self.seen, self.starts = [], []

    def init(self, key, batch, given):
        assert set(given["statistics"]) == {"mean", "std"}
        params = {"w": np.zeros(3)}
        return types.SimpleNamespace(params=params, judged={})

    def step(self, state, batch):
        self.seen.append(batch)
        return state, {"loss": np.float32(len(self.seen))}

    def score(self, variables, wave, valid):
        assert np.all(valid == wave.shape[1])
        self.starts.append(wave[0, 0])
        return np.stack([wave[:, 0], -wave[:, 0]], axis=1).astype(np.float32)


def trained(monkeypatch, rows, variant="with"):
    noted = Noted()
    made = (None, noted.init, noted.step, noted.score)
    monkeypatch.setattr(study_training, "_compiled", lambda *_: made)
    monkeypatch.setattr(study_training, "_SCORED", 8)  # In three parts, the last short.
    zeros = {"mean": np.float32(0), "std": np.float32(1)}
    monkeypatch.setattr(study_training, "fbank_statistics", lambda *_: zeros)
    return noted, study_training.train(SIZE, variant, made_up(), rows, seed=3)


def test_only_the_clips_of_training_are_trained_on(monkeypatch):
    clips = made_up()
    rows = np.flatnonzero(clips.fold > 2)
    noted, made = trained(monkeypatch, rows)
    seen = {int(np.abs(w.astype(int)).max()) for b in noted.seen for w in b["wave"]}
    own = {int(np.abs(w.astype(int)).max()) for w in clips.wave[rows]}
    assert seen <= own and len(noted.seen) == SIZE.recipe.epochs * (
        len(rows) // SIZE.recipe.batch
    )
    labels = np.concatenate([b["label"] for b in noted.seen])
    assert set(labels.tolist()) == {0, 1}
    assert made.parameters == 3 and made.loss[1] == len(noted.seen)
    # Scores are means over the starts of a clip.
    shifts = SIZE.recipe.shifts
    places = [clips.wave.shape[1] * n // shifts for n in range(shifts)]
    np.testing.assert_allclose(
        made.score[:, 0], clips.wave[:, places].mean(axis=1), rtol=1e-6
    )
    # Variants of a seed see the same.
    again, _ = trained(monkeypatch, rows, "without")
    for one, other in zip(noted.seen, again.seen, strict=True):
        np.testing.assert_array_equal(one["wave"], other["wave"])


def test_the_bar_is_fitted_on_the_clips_of_training(monkeypatch):
    monkeypatch.setattr(study_plain, "_TREES", 50)
    clips = made_up(each=4)
    rng = np.random.default_rng(0)
    rich = clips.label[:, None] + 0.1 * rng.normal(size=(len(clips), 3))
    found = (rich, rng.normal(size=(len(clips), 3)))
    train = clips.fold != 2
    said = study_plain.predict(clips, found, train)
    np.testing.assert_array_equal(said[study_plain.SVM], clips.label)
    right = said[study_plain.TRIVIAL] == clips.label
    assert right[train].mean() == 1.0 and right[~train].mean() < 1.0


# --- the command ---


class Fake:
    """Work that notes what it was asked to do; some variants are better."""

    def __init__(self, clips):
        self.clips, self.ran = clips, []

    def __call__(self, cell, folder):
        self.ran.append(cell.title)
        if cell.variant == "laplace":
            raise FloatingPointError("loss is not finite")
        tested = np.flatnonzero(self.clips.fold == cell.scored_fold)
        share = {"without": 0.5, "with": 0.7}.get(cell.variant, 0.8)
        rng = np.random.default_rng([cell.seed, cell.fold])
        return outcome(self.clips, cell, rng.random(len(tested)) < share).result


@pytest.fixture
def found(tmp_path, monkeypatch):
    clips = made_up(each=8)
    works = []

    def work(given):
        works.append(Fake(given))
        return works[-1]

    monkeypatch.setattr(study_cells, "Work", work)
    monkeypatch.setattr(event_study, "_say", lambda text: None)

    def collect(**changes):
        given = {"size": "smoke", "seeds": 2, **changes}
        return event_study.collect(clips, epath.Path(tmp_path), **given), works[-1]

    return collect


def test_a_study_goes_on_and_tells_what_failed(found):
    told, work = found()
    assert len(work.ran) == 7 * 10 + 5
    names = [row["variant"] for row in told["rows"]]
    assert names[:2] == ["without", "with"] and "laplace" not in names
    assert study_plain.SVM in names and len(told["failed"]) == 10
    again, work = found()
    assert len(work.ran) == 10  # What failed is tried again, the rest is there.
    assert again["rows"] == told["rows"]
    there, work = found(missing=False)
    assert not work.ran and there["rows"] == told["rows"]
    more, work = found(missing=False, seeds=3)  # What nobody has run has not failed.
    assert not work.ran and not more["failed"] and more["rows"] == told["rows"]
    assert json.loads(json.dumps(told)) == told
    longer, work = found(epochs=99, variants=("with",))
    assert len(work.ran) == 10 and "99 epochs" in longer["recipe_says"]


def test_tables_and_figure_show_every_variant(found, tmp_path):
    told, _ = found()
    text = study_page.markdown(told)
    for row in told["rows"]:
        assert f"| {study_page.NAMES[row['variant']]} |" in text
    tables = [t for t in text.split("\n\n") if t.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "-0.011" in text  # 69.4 - 70.5 of the paper's Table 4.
    assert "cpu" in text and "INNER" not in text
    output = tmp_path / "page"
    assert event_study.write(told, str(output)) == text
    page = epath.Path(f"{output}.md")
    page.write_text(f"a\n{pages.MARK}\nold\n{pages.MARK}\nb")
    assert str(page) in event_study.write(told, str(output))
    assert text in page.read_text() and "\nold\n" not in page.read_text()
    with PIL.Image.open(f"{output}.png") as picture:
        assert picture.width > 800 and np.asarray(picture.convert("L")).std() > 5
    inner, _ = found(validate=True, folds=1, seeds=1, variants=("with", "without"))
    assert "INNER VALIDATION" in study_page.markdown(inner) and inner["folds"] == [2]


def test_a_figure_needs_no_differences(tmp_path):
    mark = event_study_figures.Mark("one", 0.5, 0.4, 0.6, (0.4, 0.6), None)
    event_study_figures.draw(
        *(tmp_path / "a.png", [mark], []),
        lines={"bar": 0.7}, reference="x", title="T", note="n",
    )  # fmt: skip
    assert (tmp_path / "a.png").exists()


def test_the_committed_page_is_of_the_committed_numbers():
    root = epath.Path(event_study.__file__).parents[1] / "docs"
    page = (root / "audio_events_on_real_data.md").read_text()
    for path in root.glob("audio_events_on_real_data.json"):
        told = json.loads(path.read_text())
        assert pages.into_page(page, study_page.markdown(told)) == page
    assert page.count(pages.MARK) == 2


def test_the_data_are_esc_10(real_data, monkeypatch):
    short = np.linspace(-1, 1, 7, dtype=np.float32)  # To decode all takes seconds.
    monkeypatch.setattr(study_data.audio, "read", lambda *_, **__: (short, 16_000))
    monkeypatch.setattr(study_data, "CLIP_S", 10 / 16_000)
    clips = study_data.read_esc10(real_data)
    assert len(clips) == 400 and clips.wave.shape == (400, 10)
    assert clips.wave[0, :8].tolist() == [-32768, *clips.wave[0, 1:7], -32768]
    assert np.bincount(clips.fold).tolist() == [0, 80, 80, 80, 80, 80]
    assert np.bincount(clips.label).tolist() == [40] * 10
    assert clips.name[0] == "Dog bark" and epath.Path(clips.path[0]).exists()
    for source in set(clips.source):
        assert len(set(clips.fold[clips.source == source])) == 1


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ManifestError):
        study_data.read_esc10(tmp_path)
    with pytest.raises(FileNotFoundError):
        study_data.read_esc10(tmp_path / "none")
