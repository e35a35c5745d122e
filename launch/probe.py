r"""Probes: how much of what one wants to know lies open in an encoder's features.

Of calls, by probes on every layer of speech encoders:

    python -m launch.probe --features=features/hubert,features/wavlm --output=probes

Each folder of `launch.extract` is a model, named as the folder or by NAME=FOLDER; calls
are matched by their ids. `--kind` says which probes: mlp, linear, knn, and weighted,
which learns a weight for each layer; `--protocol` is ours (default) or the paper's.
Validation chooses the layer; the layer that is best on test is told as the oracle.
Models are fused by the mean of their posteriors. `--split` divides the calls anew.

OUTPUT gets `result.json`, `table.md`, figures, `predictions.parquet`, and for each kind
of probe scores by layer, model and class, and confusions. Probes that were trained are
kept in OUTPUT/parts: a run that was stopped goes on. JAX has a device for each core
unless JAX_NUM_CPU_DEVICES says otherwise; they share the layers.

Of wrist recordings, by logistic regression on tokens, on people kept apart:

    python -m launch.probe --config=configs/har_probe.py --workdir=runs/probe \
        --config.data.dataset=SET --config.encoder.weights=runs/seconds

WORKDIR gets `result.json` and `eval/test/` with figures and predictions.
"""

import importlib
import sys
from collections.abc import Sequence

from absl import app, flags

_CALLS, _WRIST = "launch.calls.probe_command", "launch.wrist.probing"


def door(argv: Sequence[str]) -> str:
    """Name of the module that a command line is for: it has the flags and `main`.

    Raises:
      SystemExit: `--features` and `--config` are both given, or neither.
    """
    names = {a.lstrip("-").partition("=")[0] for a in argv[1:] if a.startswith("-")}
    calls = "features" in names
    wrist = any(name.partition(".")[0] == "config" for name in names)
    asks = any(name.startswith("help") or name == "?" for name in names)
    if calls and wrist:
        sys.exit(
            "error: --features is for calls and --config for wrist recordings: give one"
        )
    if not (calls or wrist or asks):
        sys.exit(
            "error: give --features=FOLDER,... and --output for features of calls, or"
            " --config and --workdir for wrist recordings; --help tells more"
        )
    return _WRIST if wrist else _CALLS


if __name__ == "__main__":
    found = importlib.import_module(door(sys.argv))
    found.define_flags()
    # Whoever defined them: --help of this command tells them.
    flags.adopt_module_key_flags(sys.modules[found.define_flags.__module__])
    app.run(found.main, flags_parser=found.parse_flags)
