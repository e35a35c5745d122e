"""How large the cells of paper 002 are: the paper's, or simulated and small."""


def _simulated(classes, animals, calls, **lengths):
    """A set in each one's place."""
    own = dict(classes=classes, animals=animals, calls=calls)
    return {
        name: dict(own, seconds=seconds, seed=seed, **lengths)
        for seed, (name, seconds) in enumerate(
            dict(marmosets=0.13, watkins=0.9, mescalina=0.4).items()
        )
    }


SCALES = (
    dict(
        key="paper",
        says="the sets and encoders that are given, whole",
        cost=dict(
            each=dict(overview=1, count=0.1, frames=0.5, features=60, probes=10),
            unit="core minutes",
            source="estimated and not measured: 300 minutes of sound a set at 10 times"
            " real time of two cores, and 40 epochs of 65 probes on 20,000 calls",
        ),
    ),
    dict(
        key="small",
        says="narrow encoders with random weights (or bundles), simulated calls (or a"
        " set of your own)",
        encoder=dict(
            conv_dim=(32,) * 7,
            width=64,
            depth=4,
            heads=4,
            mlp=256,
            pos_taps=32,
            pos_groups=4,
        ),
        simulated=_simulated(classes=6, animals=10, calls=4, spread=0.3),
        cost=dict(
            each=dict(overview=0.02, count=0.03, frames=0.2, features=0.3, probes=0.15),
            unit="core minutes",
            source="from the CPU time of figure 3, 155 s",
        ),
    ),
    dict(
        key="smoke",
        says="tiny encoders, few calls, 3 epochs, 2 seeds: whether it runs, not what it"
        " finds",
        encoder=dict(
            conv_dim=(8,) * 7,
            width=16,
            depth=2,
            heads=2,
            mlp=32,
            pos_taps=8,
            pos_groups=4,
        ),
        simulated=_simulated(classes=4, animals=6, calls=2),
        probes=dict(epochs=3, seeds=(0, 1)),
        optimise=False,
        cost=dict(
            each=dict(
                overview=0.01, count=0.03, frames=0.05, features=0.04, probes=0.04
            ),
            unit="core minutes",
            source="from the CPU time of table 3, 110 s",
        ),
    ),
)
