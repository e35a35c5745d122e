"""Official scores against the rules written with scikit-learn, and published ones."""

import csv
import io
import json
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from sigjax.evals import dcase, dcase_table, dcase_years
from sigjax.evals.detection_intervals import bootstrap_scores


def _clips(pairs, *, domains=("source", "target"), n=12, seed=0, step=0.5):
    """Scores with ties, more of some clips than of others."""
    rng = np.random.default_rng(seed)
    rows = []
    for machine, section in sorted(pairs):
        for domain in domains:
            for label in (0, 1):
                for i in range(n + rng.integers(0, 9)):
                    value = round((rng.normal() + label) / step) * step
                    name = f"{domain}_{label}_{i}.wav"
                    rows.append((machine, section, domain, label, value, name))
    rng.shuffle(rows := np.array(rows, object))
    machine, section, domain, label, score, name = rows.T
    score = score.astype(float)
    return dcase.ClipScores(
        machine=machine.astype(str),
        section=section.astype(str),
        domain=domain.astype(str),
        label=label.astype(int),
        score=score,
        decision=(score > 0.5).astype(int),
        name=name.astype(str),
    )


def _auc(clips, rows, max_fpr=None):
    return sklearn.metrics.roc_auc_score(
        clips.label[rows], clips.score[rows], max_fpr=max_fpr
    )


def _hmean(values):
    return scipy.stats.hmean(np.maximum(values, np.finfo(float).eps))


def test_2021_is_the_harmonic_mean_of_84_figures():
    clips = _clips(dcase_years.EVALUATION[2021])
    figures = {}
    for machine, section in sorted(dcase_years.EVALUATION[2021]):
        for domain in ("source", "target"):
            rows = clips.of_section(machine, section) & (clips.domain == domain)
            pair = _auc(clips, rows), _auc(clips, rows, 0.1)
            figures[machine, section, domain] = pair
    values = np.array(list(figures.values()))
    assert values.size == 84
    found = dcase.score(clips, 2021)
    assert found.count == 84 and not found.not_scored
    assert found.official == pytest.approx(_hmean(values.ravel()), rel=0, abs=1e-12)
    fan = [v for (m, _, d), v in figures.items() if (m, d) == ("fan", "target")]
    means = found.mean("fan")
    assert means["auc_target"] == pytest.approx(_hmean([a for a, _ in fan]), abs=1e-12)
    assert means["pauc_target"] == pytest.approx(_hmean([p for _, p in fan]), abs=1e-12)
    assert found.mean(harmonic=False)["mean"] == pytest.approx(values.mean(), abs=1e-12)


@pytest.mark.parametrize("year", [2022, 2023, 2024, 2025, 2026])
def test_later_years_hold_normals_of_a_domain_against_all_anomalies(year):
    pairs = dcase_years.EVALUATION[year]
    clips = _clips(pairs)
    figures, fan = [], []
    for machine, section in sorted(pairs):
        here = clips.of_section(machine, section)
        aucs = [
            _auc(clips, here & ((clips.domain == domain) | (clips.label == 1)))
            for domain in ("source", "target")
        ]
        figures += [*aucs, _auc(clips, here, 0.1)]
        fan += [aucs[1]] if machine == sorted(pairs)[0][0] else []
    found = dcase.score(clips, year)
    assert found.count == len(figures) == 3 * len(pairs)
    assert found.official == pytest.approx(_hmean(figures), rel=0, abs=1e-12)
    machine = found.machines[0]
    assert found.mean(machine)["auc_target"] == pytest.approx(_hmean(fan), abs=1e-12)


def test_2020_averages_ids_then_machines():
    # ToyConveyor has three IDs in development, the others four: machines count alike.
    clips = _clips(dcase_years.DEVELOPMENT[2020], domains=("",))
    by_machine = {}
    for machine, section in sorted(dcase_years.DEVELOPMENT[2020]):
        rows = clips.of_section(machine, section)
        pair = _auc(clips, rows), _auc(clips, rows, 0.1)
        by_machine.setdefault(machine, []).append(pair)
    means = np.array([np.mean(pairs, axis=0) for pairs in by_machine.values()])
    found = dcase.score(clips, 2020)
    assert found.mean()["auc"] == pytest.approx(means[:, 0].mean(), rel=0, abs=1e-12)
    assert found.mean()["mean"] == pytest.approx(means.mean(), rel=0, abs=1e-12)
    assert found.mean("fan")["pauc"] == pytest.approx(
        np.mean(by_machine["fan"], axis=0)[1], abs=1e-12
    )
    flat = np.concatenate(list(by_machine.values())).mean()
    assert abs(found.mean()["mean"] - flat) > 1e-5
    assert found.official is None and "development set of 2020" in found.data


def test_published_figures_give_the_published_totals():
    # The autoencoder baseline (MSE) of 2023, as its evaluator's README prints it: AUC
    # source, AUC target, pAUC of bandsaw, grinder, shaker, ToyDrone, ToyNscale,
    # ToyTank and Vacuum; their harmonic mean, and the same per figure.
    source = [0.6667348190554078, 0.706837186424004, 0.69428983714698]
    source += [0.7968000000000001, 0.77, 0.7212000000000001, 0.8816]
    target = [0.48287671232876717, 0.5516569200779727, 0.5604118104118104]
    target += [0.561, 0.4716, 0.6468, 0.45320000000000005]
    pauc = [0.5091087658743451, 0.5846166760294185, 0.5491654428600755]
    pauc += [0.5368421052631579, 0.5178947368421053, 0.5826315789473684]
    pauc += [0.5947368421052631]
    names = "bandsaw grinder shaker ToyDrone ToyNscale ToyTank Vacuum".split()
    terms, values = [], []
    for column, domain, metric in (
        (source, "source", "auc"),
        (target, "target", "auc"),
        (pauc, "", "pauc"),
    ):
        for machine, value in zip(names, column, strict=True):
            rows = np.zeros(0, int)
            terms.append(dcase.Term(machine, "00", domain, metric, rows))
            values.append(value)
    found = dcase.mean_of(2023, terms, values)
    assert found["mean"] == pytest.approx(0.5925469043549957, rel=0, abs=1e-12)
    assert found["auc_source"] == pytest.approx(0.7423494890244248, abs=1e-12)
    assert found["auc_target"] == pytest.approx(0.5253826834789426, abs=1e-12)
    assert found["pauc"] == pytest.approx(0.5517419647782388, abs=1e-12)
    arithmetic = dcase.mean_of(2023, terms, values, harmonic=False)
    assert arithmetic["mean"] == pytest.approx(0.6114287349222227, abs=1e-12)


def test_decisions_are_of_each_domains_own_clips():
    clips = _clips({("fan", "00")})
    found = dcase.score(clips, 2023).mean()
    for domain in ("source", "target"):
        own = clips.domain == domain
        expected = sklearn.metrics.precision_recall_fscore_support(
            clips.label[own], clips.decision[own], average="binary"
        )
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            assert found[f"{name}_{domain}"] == pytest.approx(value, abs=1e-12)


def test_means_per_domain_are_of_the_domain_they_name():
    # 2022's script cuts three sections' six figures after the first instead.
    clips = _clips({("fan", "03"), ("fan", "04"), ("fan", "05")})
    found = dcase.score(clips, 2022)
    source = [
        value
        for term, value in zip(found.terms, found.values, strict=True)
        if (term.domain, term.metric) == ("source", "auc")
    ]
    assert len(source) == 3
    assert found.mean("fan")["auc_source"] == pytest.approx(_hmean(source), abs=1e-12)


def _without(clips, drop):
    keep = {
        name: column[~drop]
        for name in (
            "machine",
            "section",
            "domain",
            "label",
            "score",
            "decision",
            "name",
        )
        if (column := getattr(clips, name)) is not None
    }
    return dcase.ClipScores(**keep)


def test_a_section_without_anomalies_is_listed_and_leaves_no_official_score():
    clips = _clips(dcase_years.EVALUATION[2023])
    assert dcase.score(clips, 2023).official is not None
    lacks = clips.of_section("Vacuum", "00") & (clips.label == 1)
    found = dcase.score(_without(clips, lacks), 2023)
    assert found.official is None and found.missing == 3
    reasons = {(e.machine, e.section, e.metric): e.reason for e in found.not_scored}
    assert "0 anomalous" in reasons["Vacuum", "00", "pauc"]
    assert "no anomalous clips" in reasons["Vacuum", "00", "recall"]
    # Else the harmonic mean over machines would be 0.
    assert "no anomalous clips" in reasons["Vacuum", "00", "precision"]
    assert math.isnan(found.mean("Vacuum")["mean"])
    others = [m for m in found.machines if m != "Vacuum"]
    rest = [
        found.mean(m)[c] for m in others for c in ("auc_source", "auc_target", "pauc")
    ]
    assert found.mean()["mean"] == pytest.approx(_hmean(rest), abs=1e-12)
    text = dcase_table.as_text(found)
    assert "3 of 21 figures do not exist" in text and "official score" not in text
    assert "Vacuum section 00: no auc, pauc, precision, recall, f1:" in text
    assert "0 anomalous" in text


def test_a_domain_without_normal_clips_is_listed():
    clips = _clips({("fan", "00")})
    found = dcase.score(
        _without(clips, (clips.domain == "target") & (clips.label == 0)), 2023
    )
    assert [e[:4] for e in found.not_scored] == [("fan", "00", "target", "auc")]
    assert math.isnan(found.mean()["auc_target"]) and found.mean()["pauc"] > 0
    assert "fan section 00: no auc of target:" in dcase_table.as_text(found)


def test_domains_of_anomalies_need_not_be_known_from_2022_on():
    clips = _clips({("fan", "00")})
    known = dcase.score(clips, 2023).mean()
    clips.domain[clips.label == 1] = ""
    assert dcase.score(clips, 2023).mean()["mean"] == known["mean"]
    with pytest.raises(dcase.DcaseError, match="fan section 00, .*rule of 2020"):
        dcase.score(clips, 2021)
    clips.domain[:] = ""
    with pytest.raises(dcase.DcaseError, match="rule of 2023 needs domains"):
        dcase.score(clips, 2023)
    assert dcase.score(clips, 2020).mean()["auc"] > 0.5


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "score",
            np.nan,
            r"score is a finite number, but not in 1 .* nan \(fan sect",
        ),
        ("score", np.inf, "fan section 00, source_0_0.wav"),
        ("label", -1, "label is 0 .normal. or 1 .anomaly., but not in 1 of .* -1"),
        ("domain", "other", "domain is source, target"),
        ("decision", 2, "decision is 0"),
    ],
)
def test_what_is_no_score_is_refused_by_name(field, value, message):
    clips = _clips({("fan", "00")})
    row = int(np.flatnonzero(clips.name == "source_0_0.wav")[0])
    column = getattr(clips, field).copy()
    column[row] = value
    columns = {**clips.__dict__, field: column}
    with pytest.raises(dcase.DcaseError, match=message):
        dcase.ClipScores(**columns)


def test_clips_that_do_not_fit_are_refused():
    clips = _clips({("fan", "00")})
    with pytest.raises(dcase.DcaseError, match="clips, but score is"):
        dcase.ClipScores(**{**clips.__dict__, "score": clips.score[1:]})
    with pytest.raises(dcase.DcaseError, match="2019.*2020 to 2026"):
        dcase.score(clips, 2019)
    with pytest.raises(dcase.DcaseError, match="no clips"):
        dcase.score(_without(clips, np.ones(len(clips), bool)), 2023)


@pytest.mark.parametrize("year", [2020, 2021, 2025])
def test_json_and_csv_hold_the_same_numbers(year):
    domains = ("",) if year == 2020 else ("source", "target")
    found = dcase.score(_clips(dcase_years.EVALUATION[year], domains=domains), year)
    told = json.loads(json.dumps(dcase_table.as_dict(found), allow_nan=False))
    assert told["official"] == found.mean()["mean"] == told["total"]["mean"]
    rows = list(csv.DictReader(io.StringIO(dcase_table.as_csv(found))))
    sections = [row for row in rows if row["section"].isdigit()]
    assert len(sections) == len(found.sections)
    for row in sections:
        own = told["machines"][row["machine"]]["sections"][row["section"]]
        for name, value in own.items():
            assert float(row[name]) == value
    total = next(row for row in rows if row["machine"] == "all")
    assert float(total["mean"]) == found.mean()["mean"]
    assert sum(int(row[n]) for row in sections for n in row if "normal" in n) == int(
        (found.clips.label == 0).sum()
    )


@pytest.mark.parametrize(
    ("year", "line"), [(2020, "mean over machines:"), (2021, "official score:")]
)
def test_the_table_names_what_it_shows(year, line):
    domains = ("",) if year == 2020 else ("source", "target")
    found = dcase.score(_clips(dcase_years.EVALUATION[year], domains=domains), year)
    intervals = bootstrap_scores(found, resamples=20)
    text = dcase_table.as_text(found, intervals)
    percent = f"{100 * found.mean()['mean']:.2f}"
    assert f"{line} {percent} [" in text
    fan = next(row for row in text.splitlines() if row.startswith("fan "))
    assert f"{100 * found.mean('fan')['mean']:.2f}" in fan
    assert max(map(len, text.splitlines())) <= 80
    told = dcase_table.as_dict(found, intervals)["intervals"]
    assert told["total"]["mean"]["low"] < found.mean()["mean"]


def test_other_data_has_no_official_score():
    found = dcase.score(_clips({("motor", "00")}), 2022)
    assert found.official is None
    assert "not the challenge's score" in dcase_table.as_text(found)
    some = dcase.score(_clips({("fan", "03"), ("fan", "04")}), 2021)
    assert some.official is None
    assert some.data == "2 of 21 sections of the evaluation set of 2021"


def test_years_are_told_by_their_sections():
    for year in dcase_years.YEARS:
        assert year in dcase_years.years_of(dcase_years.EVALUATION[year])
    assert dcase_years.years_of(dcase_years.EVALUATION[2022]) == [2022]
    assert dcase_years.years_of(dcase_years.DEVELOPMENT[2024]) == [2023, 2024, 2025]
    assert dcase_years.years_of({("bandsaw", "00")}) == [2023]
    assert dcase_years.years_of({("motor", "00")}) == []
    assert [len(dcase_years.EVALUATION[y]) for y in dcase_years.YEARS] == [
        18, 21, 21, 7, 9, 8, 5,
    ]  # fmt: skip
