"""Notebooks run from top to bottom on the smoke variant and are kept without output."""

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colabs").glob("*.ipynb"))
# Pictures, and what commands leave: `!command` reports failure as text only.
LEAVES = {
    "autoencoders": (6, ("vae/config.json", "gan/config.json")),
    "mae_wrist": (4, ("bundle/bundle.json",)),
    "har_wrist": (4, ("har/bundle/bundle.json", "predictions/summary.csv")),
    "animal_calls": (6, ("pretraining/bundle/bundle.json", "probes/result.json")),
    "audio_events": (4, ("bundle/bundle.json", "eval/test/metrics.json")),
    "machine_sounds": (4, ("bundle/bundle.json", "eval/evaluation/report.html")),
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_draws(path, tmp_path, monkeypatch):
    # Compiling is most of a smoke run; what is compiled runs a few steps.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("SIGJAX_VARIANT", "smoke")
    monkeypatch.setenv("SIGJAX_WORKDIR", str(tmp_path / "run"))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(ROOT / "colabs")}}
    )
    client.execute()
    images = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    pictures, files = LEAVES[path.stem]
    assert len(images) >= pictures
    assert all((tmp_path / "run" / file).exists() for file in files)
    nbformat.write(notebook, tmp_path / path.name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_kept_without_output(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)
    assert not any(
        line
        for c in cells
        if c.cell_type == "code"
        for line in c.source.splitlines()
        if line.startswith(("def ", "class "))
    )
