"""The page about a detector: whole, marked, escaped, and true to the scores."""

import base64
import dataclasses
import html.parser
import io
import re

import numpy as np
import PIL.Image
import pytest
import sklearn.metrics

from sigjax.evals import dcase, sound_figures, sound_report
from sigjax.evals.sound_report import SoundExample, write_report
from sigjax.evals.sound_results import SoundResultsError, read_results
from tests.evals.sound_results_test import make_results

HOSTILE = "<script>alert('x')</script> & $x^{2}$"
_VOID = {"meta", "img", "br"}


def _example(**changes):
    rng = np.random.default_rng(0)
    values = {
        "name": "section_03_source_1_0.wav",
        "machine": "fan",
        "section": "03",
        "domain": "source",
        "label": 1,
        "score": 3.0,
        "threshold": 1.0,
        "rate_hz": 16000,
        "log_mel": rng.normal(size=(40, 16)).astype(np.float32),
        "hop_s": 0.032,
        "band_hz": np.linspace(50, 7900, 16),
        "map": rng.random((40, 16)).astype(np.float32),
        "title": "most anomalous",
    }
    return SoundExample(**{**values, **changes})


class _Page(html.parser.HTMLParser):
    """Fails where tags do not nest; keeps texts and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.text.append(data)

    def words(self):
        return " ".join(" ".join(self.text).split())


def _page(folder, results, **kwargs):
    kwargs = {"bootstrap": 20, **kwargs}
    path = write_report(folder, results, **kwargs)
    return path.read_text(), _Page(path.read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    results = make_results(facts={"data set": HOSTILE})
    wave = np.zeros(8000, np.float32)
    examples = [
        _example(),
        _example(name=HOSTILE, label=0, title="", map=None, band_hz=None),
        _example(machine="pump", log_mel=None, wave=wave, map=np.full((9, 4), np.nan)),
    ]
    return folder, results, *_page(folder, results, examples=examples)


def test_the_page_needs_nothing_else(written):
    folder, results, text, page = written
    sources = [a["src"] for tag, a in page.tags if tag == "img"]
    assert len(sources) == 3 * 3 + 5
    for source in sources:
        kind, data = source.split(",", 1)
        assert kind == "data:image/png;base64"
        PIL.Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert all(a["alt"] for tag, a in page.tags if tag == "img")
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    ids = {f"#{a['id']}" for _, a in page.tags if "id" in a}
    assert links and links <= ids
    assert f"this page has {len(text.encode()) / 1e6:.1f} MB" in page.words()
    np.testing.assert_array_equal(read_results(folder).clips.score, results.clips.score)


def test_names_are_text_not_markup(written):
    _, _, text, page = written
    assert "<script" not in text
    assert page.words().count(HOSTILE) == 2


def test_simulated_data_cannot_be_taken_for_real(written, tmp_path):
    _, results, _, page = written
    assert page.words().startswith("SIMULATED DATA: no figure on this page")
    assert page.words().count("SIMULATED") == 3
    assert "Simulated data have no official score" in page.words()
    _, page = _page(tmp_path, dataclasses.replace(results, simulated=False))
    assert "simulated" not in page.words().lower()
    assert "This is no official score" in page.words()


def test_figures_are_those_of_the_official_rule(written):
    _, results, _, page = written
    scores = dcase.score(results.of_side("evaluation").clips, 2022)
    head, rest = page.words().split("Development clips: not the result", 1)
    assert f"{100 * scores.mean()['mean']:.2f} score, harmonic mean of 6" in head
    for machine in ("fan", "pump"):
        for column in ("auc_source", "auc_target", "pauc", "mean"):
            assert f"{100 * scores.mean(machine)[column]:.1f}" in head
    mine = results.of_side("evaluation")
    flagged = int(((mine.decision == 1) & (mine.clips.label == 1)).sum())
    assert f"flagged {flagged} of 48 anomalous clips" in head
    development = dcase.score(results.of_side("development").clips, 2022)
    assert rest.count(f"{100 * development.mean()['mean']:.2f} score") == 1


def test_development_clips_change_nothing_of_the_result(written, tmp_path):
    _, results, _, page = written
    score = results.clips.score.copy()
    score[np.asarray(results.side) == "development"] = 0.0
    changed = dataclasses.replace(results.clips, score=score)
    _, other = _page(tmp_path, dataclasses.replace(results, clips=changed))

    def result(page):
        head = page.words().split("Development clips: not the result")[0]
        return head.split("Evaluation clips: the result")[1]

    assert result(page) == result(other)
    assert page.words() != other.words()


def test_what_cannot_be_scored_or_decided_is_said(tmp_path):
    results = make_results(thresholds={}, chosen={}, simulated=False)
    clips = results.clips
    gone = (clips.machine == "pump") & (clips.label == 1)
    fields = {
        field.name: getattr(clips, field.name) for field in dataclasses.fields(clips)
    }
    columns = {name: c if c is None else c[~gone] for name, c in fields.items()}
    results = dataclasses.replace(
        results,
        clips=dcase.ClipScores(**columns),
        attributes=[{}] * int((~gone).sum()),
        side=[s for s, g in zip(results.side, gone, strict=True) if not g],
    )
    _, page = _page(tmp_path, results, bootstrap=0)
    words = page.words()
    assert "3 of 6 figures do not exist" in words
    reason = "needs normal and anomalous clips, got 12 normal and 0 anomalous"
    assert f"section 03, source: no AUC, {reason}" in words
    assert words.count("No threshold is given, so nothing was decided.") == 3
    assert "No back-end or settings are given." in words
    assert "In plain words" not in words


def test_one_machine_of_ones_own_without_domains(tmp_path):
    results = make_results(domains=("",), year=2020)
    _, page = _page(tmp_path, results.of_side("evaluation"), bootstrap=0)
    scores = dcase.score(results.of_side("evaluation").clips, 2020)
    assert f"{100 * scores.mean()['mean']:.2f} score, arithmetic mean" in page.words()
    assert "Development" not in page.words()


def test_attributes_are_compared_within_sections():
    results = make_results(n=14)
    clips = results.clips
    attributes = [
        {"load": "high"} if clips.section[i] == "03" or i % 3 == 0 else {"load": "low"}
        for i in range(len(clips))
    ]
    for row in np.flatnonzero(clips.label == 1):
        attributes[row] = {**attributes[row], "fault": "crack", "id": str(row)}
    # Another scale in one section would spoil an AUC over all clips.
    score = clips.score + 100 * (clips.section == "00")
    clips = dataclasses.replace(clips, score=score)
    results = dataclasses.replace(
        results, clips=clips, attributes=attributes, thresholds={}
    )
    found = sound_report._attributes(results, "fan")
    assert found["many"] == [("id", 56)]
    rows = {(row.name, row.value): row for row in found["rows"]}
    assert list(rows) == [("load", "high"), ("load", "low"), ("fault", "crack")]

    def expected(which):
        areas, pairs = [], []
        for section in ("00", "03"):
            here = which & clips.of_section("fan", section)
            label = clips.label[here]
            areas.append(sklearn.metrics.roc_auc_score(label, clips.score[here]))
            pairs.append((label == 0).sum() * (label == 1).sum())
        return np.average(areas, weights=pairs)

    high = np.array([a.get("load") == "high" for a in attributes])
    assert rows["load", "high"].auc == pytest.approx(expected(high), abs=1e-12)
    assert rows["load", "high"].of == "its own clips"
    crack = rows["fault", "crack"]
    every = np.ones(len(clips), bool)
    assert crack.auc == pytest.approx(expected(every), abs=1e-12)
    assert (crack.normal, crack.anomalous, crack.few) == (0, 56, False)
    assert crack.of == "its anomalies, all normal clips"
    few = dataclasses.replace(
        results,
        attributes=[{"oil": "old"} if i < 3 else {} for i in range(len(clips))],
    )
    (row,) = sound_report._attributes(few, "fan")["rows"]
    assert (row.normal, row.few) == (3, True)
    assert row.of == "its normal clips, all anomalies"


def test_curves_are_as_high_as_the_roc():
    fpr, tpr = np.array([0, 0, 0.5, 0.5, 1]), np.array([0, 0.4, 0.4, 0.8, 1])
    height = sound_figures._at(np.array([0, 0.25, 0.5, 0.75, 1]), fpr, tpr)
    np.testing.assert_allclose(height, [0.4, 0.4, 0.8, 0.9, 1], atol=1e-9)


def test_far_scores_do_not_hide_the_others():
    rng = np.random.default_rng(0)
    normal = np.append(rng.normal(size=500), 1e6)
    panel = sound_figures.Panel("00", "", normal, normal[:3], 2.0)
    edges, cut = sound_figures._edges([panel])
    assert cut and edges[-1] < 10
    panel = panel._replace(normal=np.zeros(3), anomaly=np.zeros(0), threshold=None)
    edges, cut = sound_figures._edges([panel])
    assert not cut and edges[0] < 0 < edges[-1]


def test_examples_that_cannot_be_shown_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a wave or a log-mel"):
        _example(wave=np.zeros(9))
    with pytest.raises(ValueError, match="needs its hop_s"):
        _example(hop_s=None)
    with pytest.raises(ValueError, match=r"map is \[3\]"):
        _example(map=np.zeros(3))
    with pytest.raises(SoundResultsError, match="no clip of 'valve' was scored"):
        write_report(tmp_path, make_results(), examples=[_example(machine="valve")])
    assert not list(tmp_path.iterdir())


def test_clips_of_one_recording_are_resampled_together(written, tmp_path):
    alone = make_results()
    # All clips of a section, domain and label are of one recording.
    group = [str(row // 12) for row in range(len(alone.clips))]
    together = dataclasses.replace(alone, group=group)
    _, page = _page(tmp_path, together)
    assert "of 1 + 2 recordings" in page.words()
    assert "resamples of recordings" in page.words()
    assert "clips as independent" not in page.words()
    assert "clips as independent" in written[-1].words()
    width = []
    for results in (together, alone):
        side = results.of_side("evaluation")
        rows = sound_report._sections(side, side.score(), "fan", 50)
        found = [row["auc"] for row in rows if "auc" in row]
        width.append(max(interval.high - interval.low for interval in found))
    # There is no other draw of one recording.
    assert width[0] == 0 < width[1]
