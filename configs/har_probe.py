r"""Linear probe of an encoder: logistic regression on its tokens, people kept apart.

  python -m launch.probe --config=configs/har_probe.py --workdir=runs/probe \
      --config.data.dataset=SET --config.data.test=fold1 \
      --config.encoder.weights=runs/seconds

Seconds per probe, nothing to tune but the regression's penalty. Without context, each
label window is embedded alone (`data.window_s` is its length); with a longer
`data.window_s` its neighbours are seen. `probe.features` replaces the tokens with
features that are not learned, as a bar (`hand_made`) or as a control (`position`).

Variants: `smoke`, on simulated people, with an encoder that was never trained.
"""

import ml_collections

from configs import har_wrist


def get_config(arg: str = "") -> ml_collections.ConfigDict:
    """Five folds by person of sp-sw-har, patches and labels of a second."""
    if arg not in ("", "smoke"):
        raise ValueError(f"configs/har_probe.py:{arg} is unknown; variants: smoke")
    given = har_wrist.get_config("smoke" if arg else "seconds")
    c = ml_collections.ConfigDict()
    c.system = "har_probe"
    c.seed = 0
    c.task, c.data, c.encoder = given.task, given.data, given.encoder
    c.data.validation_fraction = 0.0
    c.probe = dict(features="tokens", penalty=10.0, n_fft=30)
    if arg == "smoke":
        c.encoder.weights = "untrained"
        return c
    c.data.split, c.data.train, c.data.test = "sp_sw_har_5_folds", "", "fold1"
    # One window for each execution, the longest of which is 14.8 s.
    c.data.tail = "pad"
    c.encoder.mae.attention = "xla"
    return c
