"""The loss study's sheets become one file, one figure and Markdown."""

import json

import pytest
from etils import epath

from configs.papers import p000_real
from launch import loss_study, pages
from sigjax.evals import loss_study_figures


def interval(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def scored(value):
    own = {**interval(value), "sd": 0.01, "seeds": [value - 0.01, value + 0.01]}
    return {metric: own for metric in loss_study.METRICS}


@pytest.fixture
def workdir(tmp_path):
    """Sheet `losses`: two encoders in both contexts, a control, one not finished."""
    rows, values = [], {"LMM": 0.7, "MSE": 0.8}
    for name, value in values.items():
        for context in ("none", "execution"):
            key = f"cell-{name}-{context}"
            cell = tmp_path / "cells" / key / "cell.json"
            cell.parent.mkdir(parents=True)
            told = {"lmm": value, "lmm_baseline": 1, "mse": 0.2, "mse_baseline": 0.3}
            result = {"finetuned": {"reconstruction": {**told, "windows": 3}}}
            cell.write_text(json.dumps({"result": result}))
            rows.append({"labels": [name, context], "ours": scored(value)})
            rows[-1] |= {"cells": [key], "people": 23}
    bar = {"labels": ["hand-made features", "none"], "ours": scored(0.75)}
    rows += [{**bar, "cells": [], "people": 23}]
    rows += [{"labels": ["untrained", "none"], "ours": None, "cells": []}]
    scores = {metric: interval(-0.1) for metric in loss_study.METRICS}
    differences = [
        {"first": f"LMM, context {c}", "second": f"MSE, context {c}", **scores}
        for c in ("none", "execution")
    ]
    differences += [{**differences[0], "first": "x, context none", "failed": "no"}]
    table = {"simulated": False, "made_with": "here", "rows": rows}
    (tmp_path / "tables").mkdir()
    path = tmp_path / "tables" / "losses.json"
    path.write_text(json.dumps({**table, "differences": differences}))
    return epath.Path(tmp_path)


def test_rows_with_numbers_and_their_reconstruction_are_collected(workdir):
    found = loss_study.collect(workdir)
    assert [row["name"] for row in found["rows"]] == [
        *("LMM", "LMM", "MSE", "MSE", "hand-made features"),
    ]
    assert found["rows"][0]["reconstruction"]["lmm"] == pytest.approx(0.7)
    assert found["rows"][-1]["reconstruction"] == {}
    assert len(found["differences"]) == 2
    scores, bars, differences = loss_study.marks(found)
    assert [mark.name for mark in scores] == ["LMM", "LMM", "MSE", "MSE"]
    assert bars == {"hand-made, alone": 0.75}
    assert [mark.context for mark in differences] == ["none", "execution"]
    assert "| LMM − MSE | none | -0.100 [-0.200, +0.000] |" in loss_study.markdown(
        found
    )


def test_the_figure_is_written(workdir, tmp_path):
    scores, bars, differences = loss_study.marks(loss_study.collect(workdir))
    path = tmp_path / "figure.png"
    loss_study_figures.losses(
        *(path,), scores=scores, bars=bars, differences=differences, title="t", note="n"
    )
    assert path.read_bytes().startswith(b"\x89PNG")


def test_tables_are_put_between_the_marks_of_a_page():
    page = f"above\n{pages.MARK}\nold\n{pages.MARK}\nbelow\n"
    found = pages.into_page(page, "new")
    assert found == f"above\n{pages.MARK}\n\nnew\n{pages.MARK}\nbelow\n"
    assert pages.into_page(found, "new") == found
    with pytest.raises(ValueError, match="two lines"):
        pages.into_page("no marks", "new")


def test_simulated_or_missing_sheets_are_errors(workdir, tmp_path):
    with pytest.raises(FileNotFoundError, match="has none of"):
        loss_study.collect(epath.Path(tmp_path) / "empty")
    path = workdir / "tables" / "losses.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "simulated": True}))
    with pytest.raises(ValueError, match="SIMULATED"):
        loss_study.collect(workdir)


def test_what_the_figure_compares_is_in_the_sheets():
    sheets = {sheet["key"]: sheet for sheet in p000_real.PAPER["sheets"]}
    assert list(sheets) == list(loss_study.SHEETS)
    for sheet, _, first, second in loss_study.CONDITIONS:
        for context in ("none", "execution"):
            pair = (f"{first}, context {context}", f"{second}, context {context}")
            assert pair in sheets[sheet]["differences"]
