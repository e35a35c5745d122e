"""Self-supervised Anomalous Sound Detection for Machine Condition Monitoring.

    python -m launch.reproduce --paper=001 --table=7
    python -m launch.reproduce --paper=001 --table=2,3,4,5,6,7 --sounds=sets/dcase2021

Configs are configs/asd_sections.py (a general classifier for each high-pass; a specific
one for each machine, high-pass and loss that starts from it; MobileNetV2) and
configs/asd_autoencoder.py. Every evaluation keeps the scores of all test clips by all
back-ends of `BACKENDS`; a table is a choice among them. Numbers under `paper` are
printed in the paper.

What the paper leaves open or contradicts:
  * It chooses back-end, high-pass and center loss for each machine on sections 03-05,
    which it reports. `--protocol=honest`, our default, chooses on sections 00-02 and
    shows the `oracle` beside it; `--protocol=paper` takes Table 7's high-pass and loss
    as given and the better score on 03-05, as the paper does.
  * Table 3's `general` is already the better of two scores and of without and with
    high-pass: tables 2 and 5 have its parts.
  * Table 5's high-pass is that of Table 7; of slider, which has none there, it is not
    said. Of fan and pump the paper says that training did not converge.
  * Table 6, valve with center loss: pAUC 75.53 % is a slip for 67.18 %, which table 3
    has; 75.53 % is that table's total. 67.18 % stands here.
  * Is center loss in the first stage, too? Not here: its table is of the second.
  * Cell means are harmonic, over sections and domains: so the printed totals 56.38,
    66.80, 69.43 and 75.53 come out of the printed cells.
"""

from configs.asd_autoencoder import MSE
from configs.asd_sections import BEST, MACHINES
from configs.papers.scales_001 import SCALES

M, P = "mahalanobis", "confidence"
# What the paper calls m and p.
BOTH = (M, P)
MIN_Z = {"name": "min_z", "members": ("mahalanobis", "knn", "local_density")}
BACKENDS = (P, M, "knn", "kmeans", "gmm", "lof", "local_density", MIN_Z)
NAMES = (*BACKENDS[:-1], "min_z")


def percent(text):
    """Printed per cent, machines in the paper's order, as fractions; "-" is None."""
    rows = [line.split() for line in text.strip().splitlines()]
    return {
        name: tuple(None if v == "-" else round(float(v) / 100, 6) for v in values)
        for name, *values in rows
    }


# Table 3.
BASELINE = percent("""
    ToyCar    65.93  52.32
    ToyTrain  68.51  57.56
    fan       60.68  50.50
    gearbox   65.49  56.86
    pump      58.30  50.98
    slider    57.22  51.41
    valve     51.87  50.07
""")
TOP1 = percent("""
    ToyCar    75.27  59.71
    ToyTrain  69.15  59.91
    fan       61.01  60.79
    gearbox   63.07  61.56
    pump      86.76  81.55
    slider    83.18  63.60
    valve     65.36  60.15
""")
GENERAL = percent("""
    ToyCar    65.09  58.24
    ToyTrain  71.24  59.33
    fan       86.15  71.45
    gearbox   71.09  60.48
    pump      78.81  67.57
    slider    89.15  73.82
    valve     74.78  61.03
""")
SPECIFIC = percent("""
    ToyCar    78.40  68.73
    ToyTrain  73.43  62.19
    fan       91.44  82.78
    gearbox   73.40  64.06
    pump      89.06  77.32
    slider    89.11  75.03
    valve     80.03  67.18
""")


def table2():
    """One general classifier, two scores: m and p."""
    printed = {
        M: percent("""
            ToyCar    62.92  54.42
            ToyTrain  68.21  56.04
            fan       72.64  54.59
            gearbox   66.18  57.68
            pump      63.31  54.94
            slider    74.17  61.30
            valve     57.51  52.46
        """),
        P: percent("""
            ToyCar    54.58  54.17
            ToyTrain  49.04  49.50
            fan       86.15  71.45
            gearbox   52.02  51.95
            pump      78.81  67.57
            slider    89.15  73.82
            valve     59.23  59.67
        """),
    }
    names = {M: "m (Mahalanobis)", P: "p (confidence)"}
    return dict(
        key="table2",
        title="Table 2. The effect of anomaly scores; general, no high-pass",
        systems=[
            dict(
                name=names[score],
                models=("general",),
                cutoffs_hz=(0.0,),
                scores=(score,),
                paper=printed[score],
            )
            for score in BOTH
        ],
    )


def table3():
    """General and specific classifiers beside baselines."""
    return dict(
        key="table3",
        title="Table 3. Results for different machine types",
        systems=(
            dict(
                name="baseline (AE)",
                models=("autoencoder",),
                scores=("mean squared error",),
                paper=BASELINE,
            ),
            dict(name="MobileNetV2", models=("mobilenet",), scores=(P,)),
            dict(name="Top1", paper=TOP1),
            dict(name="general", models=("general",), scores=BOTH, paper=GENERAL),
            dict(
                name="specific",
                models=("specific",),
                centre=(False, True),
                scores=BOTH,
                paper=SPECIFIC,
            ),
        ),
        notes=(
            "Top1 is the best system of the challenge, an ensemble that is not repeated"
            " here; MobileNetV2, the challenge's second baseline, is not in the paper",
            "`general` chooses score and high-pass, `specific` center loss too",
        ),
    )


def table4():
    """Domains apart."""
    top1 = percent("""
        ToyCar    81.44  59.05  69.97  60.39
        ToyTrain  77.56  62.21  62.38  57.78
        fan       51.45  61.70  74.93  59.91
        gearbox   63.52  61.38  62.62  61.75
        pump      88.72  82.19  84.88  80.91
        slider    85.56  66.10  80.92  61.28
        valve     69.56  64.03  61.64  56.71
    """)
    ours = percent("""
        ToyCar    78.63  68.94  78.18  68.53
        ToyTrain  75.89  62.83  71.12  61.56
        fan       94.63  85.43  88.45  80.29
        gearbox   76.13  64.02  70.87  64.10
        pump      86.39  73.11  91.90  82.05
        slider    91.10  75.85  87.20  74.24
        valve     79.35  68.06  80.72  66.33
    """)
    return dict(
        key="table4",
        title="Table 4. Specific classifiers in the source and the target domain",
        metrics=("auc_source", "pauc_source", "auc_target", "pauc_target"),
        systems=(
            dict(name="Top1", paper=top1, total=(0.7166, 0.6456, 0.7000, 0.6191)),
            dict(
                name="specific",
                models=("specific",),
                centre=(False, True),
                scores=BOTH,
                paper=ours,
                total=(0.8259, 0.7049, 0.8045, 0.7026),
            ),
        ),
        notes=("Top1 is not repeated here: see table 3",),
    )


def table5():
    """Without and with high-pass."""
    without = percent("""
        ToyCar    62.92  54.42
        ToyTrain  68.21  56.04
        fan       86.15  71.45
        gearbox   66.18  57.68
        pump      78.81  67.57
        slider    89.15  73.82
        valve     59.23  59.67
    """)
    filtered = percent("""
        ToyCar    65.09  58.24
        ToyTrain  71.24  59.33
        fan       -      -
        gearbox   71.09  60.48
        pump      -      -
        slider    86.41  69.16
        valve     74.78  61.03
    """)
    both = dict(models=("general",), scores=BOTH)
    return dict(
        key="table5",
        title="Table 5. The impact of high-pass filtering; general classifiers",
        systems=(
            dict(name="w/o high-pass", cutoffs_hz=(0.0,), paper=without, **both),
            dict(
                name="high-pass",
                cutoffs_hz=(1000.0, 2000.0),
                paper=filtered,
                **both,
            ),
        ),
        notes=("of fan and pump with high-pass the paper says: it cannot converge",),
    )


def table6():
    """Without and with center loss."""
    without = percent("""
        ToyCar    78.40  68.73
        ToyTrain  73.43  62.19
        fan       89.70  78.66
        gearbox   71.56  62.59
        pump      80.35  69.37
        slider    89.11  75.03
        valve     76.20  61.50
    """)
    centred = percent("""
        ToyCar    65.12  61.10
        ToyTrain  67.11  56.97
        fan       91.44  82.78
        gearbox   73.40  64.06
        pump      89.06  77.32
        slider    81.21  66.48
        valve     80.03  67.18
    """)
    both = dict(models=("specific",), scores=BOTH)
    return dict(
        key="table6",
        title="Table 6. The impact of center loss; specific classifiers",
        systems=(
            dict(name="w/o center loss", centre=(False,), paper=without, **both),
            dict(name="center loss", centre=(True,), paper=centred, **both),
        ),
        notes=(
            "valve with center loss: the paper prints pAUC 75.53, a slip for the 67.18"
            " of its table 3",
        ),
    )


def table7():
    """Which setting is best."""
    return dict(
        key="table7",
        title="Table 7. The best setting of each machine, and what it gives",
        kind="settings",
        systems=(
            dict(
                name="specific",
                models=("specific",),
                centre=(False, True),
                scores=BOTH,
                paper=SPECIFIC,
            ),
        ),
        notes=("the paper's figures are those of its table 3, `specific`",),
    )


def choice():
    """Beyond the paper: every back-end, and the general classifier too."""
    return dict(
        key="choice",
        title="Not in the paper: the choice among all runs and all back-ends",
        kind="settings",
        systems=(
            dict(
                name="any",
                models=("general", "specific"),
                centre=(False, True),
                scores=NAMES,
                paper=SPECIFIC,
            ),
        ),
        notes=(f"back-ends: {', '.join(NAMES)}",),
    )


SETTINGS = {machine: BEST[machine] for machine in MACHINES}

PROTOCOLS = (
    dict(
        key="honest",
        says="score, high-pass and center loss chosen on sections 00-02, reported on"
        " 03-05; oracle beside it",
        selection="honest",
    ),
    dict(
        key="paper",
        says="as the paper: its Table 7's high-pass and center loss, and the score that"
        " is better on the REPORTED sections 03-05",
        selection="oracle",
        settings=SETTINGS,
    ),
)


PAPER = dict(
    study="sounds",
    key="001",
    title="Self-supervised Anomalous Sound Detection for Machine Condition Monitoring",
    data="DCASE 2021 Task 2, evaluation sections 03-05 of seven machines",
    year=2021,
    machines=MACHINES,
    cutoffs_hz=(0.0, 1000.0, 2000.0),
    centre_weight=0.01,
    settings=SETTINGS,
    configs=dict(
        general="asd_sections",
        specific="asd_sections",
        autoencoder="asd_autoencoder",
        mobilenet="asd_sections:mobilenet",
    ),
    backends=dict(
        general=BACKENDS,
        specific=BACKENDS,
        autoencoder=(MSE, "selective_mahalanobis"),
        mobilenet=(P,),
    ),
    scales=SCALES,
    protocols=PROTOCOLS,
    sheets=(
        *(table2(), table3(), table4(), table5(), table6(), table7()),
        choice(),
    ),
)
