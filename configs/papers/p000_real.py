"""Is LMM better than MSE? Paper 000's claim on small real wrist data, in an hour.

    python -m launch.reproduce --paper=000_real --sheet=losses,sweeps --processes=2 \
        --unlabelled=STORE --labelled=SET --workdir=runs/real

STORE holds Stress-Predict (18 people with an Empatica E4, an hour each) and sp-sw-har
(23 people with a smartwatch), SET the latter's labels, a second each; docs/
losses_on_real_data.md says how both are made.

Five folds by person. Nobody who is tested is in that encoder's pre-training: `MIXED`
leaves out the fold that is tested, `E4` everybody who has labels.

Sizes: see configs/mae_seconds.py. Batches of 32 instead of 64, for the hour.
"""

LMM = {"loss.lmm": 1.0, "loss.mse": 0.0}
MSE = {"loss.lmm": 0.0, "loss.mse": 1.0}
BOTH = {"loss.lmm": 1.0, "loss.mse": 10.0}

FOLDS = tuple(f"fold{n}" for n in range(1, 6))
SPLIT = "sp_sw_har_5_folds"
MIXED = {"data.without": SPLIT + ":{fold}"}
E4 = {"data.without": ",".join(f"{SPLIT}:{fold}" for fold in FOLDS)}

# Of a linear probe: alone, or with all of its execution (at most 14.8 s).
ALONE = {"data.window_s": 1.0, "data.stride_s": 1.0}
WITHIN = {"data.window_s": 15.0, "data.stride_s": 15.0}
CONTEXTS = (("none", ALONE), ("execution", WITHIN))
SCRATCH = {"encoder.weights": "untrained"}


def probes(name, pretrain=None, finetune=None):
    """A row without and a row with context."""
    finetune = finetune or {}
    if pretrain is None:
        finetune = {**SCRATCH, **finetune}
    return [
        dict(
            labels=(name, context),
            name=f"{name}, context {context}",
            pretrain=pretrain,
            finetune={**finetune, **lengths},
        )
        for context, lengths in CONTEXTS
    ]


def control(name, features, context="none", penalty=10.0):
    """A row without an encoder."""
    finetune = {**SCRATCH, **ALONE, "probe.features": features}
    finetune["probe.penalty"] = penalty
    return dict(labels=(name, context), finetune=finetune)


def pairs(first, second):
    """Differences of two rows, without and with context."""
    return [
        (f"{first}, context {context}", f"{second}, context {context}")
        for context, _ in CONTEXTS
    ]


CONTROLS = (
    control("hand-made features", "hand_made"),
    control("mean and sd", "mean_sd"),
    control("log spectrum (LMM's target)", "log_spectrum"),
    control("the samples themselves", "samples"),
    # A control must be at its best: with less penalty than the others.
    control("CONTROL: position in the script", "position", "execution", penalty=1.0),
)


def losses():
    """The comparison: pre-training on E4 and on the other folds' people."""
    rows = [
        *probes("LMM", {**LMM, **MIXED}),
        *probes("MSE", {**MSE, **MIXED}),
        *probes("LMM + 10 MSE", {**BOTH, **MIXED}),
        *probes("untrained"),
        *CONTROLS,
    ]
    return dict(
        key="losses",
        title="Linear probe by pre-training loss; E4 and the other folds' people",
        columns=("encoder", "context"),
        rows=rows,
        differences=(
            *pairs("LMM", "MSE"),
            *pairs("LMM + 10 MSE", "MSE"),
            *pairs("LMM", "untrained"),
            *pairs("MSE", "untrained"),
        ),
        **COMMON,
    )


def sweeps():
    """One thing at a time, pre-trained on E4 alone."""
    variants = {
        "MSE": MSE,
        "LMM": LMM,
        "LMM + 0.1 MSE": {**LMM, "loss.mse": 0.1},
        "LMM + 10 MSE": BOTH,
        "LMM, reflect": {**LMM, "loss.pad": "reflect"},
        "LMM, detrend": {**LMM, "loss.detrend": True},
        "LMM, eps 1": {**LMM, "loss.eps": 1.0},
        "MSE, 4,000 steps": {**MSE, "train.steps": 4000},
        "LMM, 4,000 steps": {**LMM, "train.steps": 4000},
    }
    rows = [row for name, loss in variants.items() for row in probes(name, loss | E4)]
    against = [name for name in variants if name[:3] == "LMM" and "steps" not in name]
    return dict(
        key="sweeps",
        title="What turns it: one change at a time; pre-trained on E4 alone",
        columns=("encoder", "context"),
        rows=[*rows, *probes("untrained")],
        differences=(
            *[pair for name in against for pair in pairs(name, "MSE")],
            *pairs("LMM, 4,000 steps", "MSE, 4,000 steps"),
            *pairs("LMM", "untrained"),
            *pairs("MSE", "untrained"),
        ),
        **COMMON,
    )


def supervised():
    """The same encoder, and HARNet10, on the labels alone."""
    apart = {
        "data.split": SPLIT,
        "data.train": "",
        "data.test": "{fold}",
        "data.validation_fraction": 0.0,
        "train.select": "",
        "data.tail": "pad",
        "encoder.trainable": True,
        "encoder.weights": "",
    }
    transformer = {
        **apart,
        "head.standardise": False,
        "encoder.mae.attention": "xla",
        "optim.learning_rate": 1e-3,
        "train.steps": 400,
    }
    contexts = (
        ("none", {**ALONE, "data.batch_size": 128}),
        ("execution", {**WITHIN, "data.batch_size": 16}),
    )
    rows = [
        dict(
            labels=("transformer from scratch", context),
            name=f"transformer from scratch, context {context}",
            finetune_config="har_wrist:seconds",
            finetune={**transformer, **lengths},
        )
        for context, lengths in contexts
    ]
    harnet = {
        **apart,
        **ALONE,
        "data.batch_size": 16,
        "data.scheme": "annotation",
        "task.patch_s": 1.0,
        "task.label_s": 1.0,
        "task.classes": (
            *("SEATED", "SITTING_DOWN", "STANDING_UP", "TURNING", "WALKING"),
        ),
        # Patches of 30 samples, stretched to the 300 that it is made for.
        "encoder.harnet.resize": True,
        "optim.name": "adamw",
        "optim.learning_rate": 1e-3,
        "optim.schedule": "cosine",
        "train.steps": 150,
    }
    rows.append(
        dict(
            labels=("HARNet10 from scratch, 3 epochs", "none"),
            finetune_config="har_wrist:harnet",
            finetune=harnet,
        )
    )
    return dict(
        key="supervised",
        title="From scratch, on the labels alone",
        columns=("model", "context"),
        rows=rows,
        **COMMON,
    )


def patches(key, seconds, n_fft):
    """Another length of patches, labels and tokens alike: needs its own SET."""
    samples = round(30 * seconds)
    tokens = round(10 / seconds)
    size = {"task.patch_s": seconds, "model.patch_size": 3 * samples}
    size["loss.n_fft"] = n_fft
    length = {"task.patch_s": seconds, "task.label_s": seconds}
    architecture = {**length, "encoder.mae.patch_size": 3 * samples}
    # A whole number of patches that no execution outlasts.
    contexts = (("none", seconds), ("execution", 16.0))

    def rows_of(name, pretrain=None, features="tokens"):
        given = {**architecture, "probe.features": features, "probe.n_fft": n_fft}
        given = given if pretrain else {**given, **SCRATCH}
        return [
            dict(
                labels=(name, context),
                name=f"{name}, context {context}",
                pretrain=pretrain,
                finetune={**given, "data.window_s": window, "data.stride_s": window},
            )
            for context, window in contexts
        ]

    rows = [
        *rows_of("LMM", {**LMM, **E4, **size}),
        *rows_of("MSE", {**MSE, **E4, **size}),
        *rows_of("untrained"),
        *(
            rows_of(name, features=features)[0]
            for name, features in (
                ("hand-made features", "hand_made"),
                ("log spectrum (LMM's target)", "log_spectrum"),
                ("the samples themselves", "samples"),
            )
        ),
    ]
    return dict(
        key=key,
        title=f"Patches and labels of {seconds:g} s, {tokens} in a window; E4 alone",
        columns=("encoder", "context"),
        rows=rows,
        differences=(*pairs("LMM", "MSE"), *pairs("MSE", "untrained")),
        **COMMON,
    )


COMMON = dict(
    seeds=3,
    folds=FOLDS,
    kind="scores",
    metrics=("balanced_accuracy", "kappa", "macro_f1"),
)

PAPER = dict(
    key="000_real",
    title="Lorenzen et al. 2025, arXiv 2502.17477v1: LMM against MSE on real data",
    data="UK Biobank and Capture-24, patches of 10 s; none of it is here",
    pretrain_config="mae_seconds",
    finetune_config="har_probe",
    scales=(
        dict(
            key="hour",
            says="width 96, 4 blocks, 1,200 steps of 32 windows of ten patches",
            pretrain={"data.batch_size": 32},
            cost=dict(
                pretrain=0.6,
                finetune=0.05,
                unit="core minutes",
                source="about, on the machine of docs/losses_on_real_data.md",
            ),
        ),
    ),
    protocols=(
        dict(
            key="folds",
            says="five folds by person; no step, penalty or setting is chosen on them",
            finetune={"data.test": "{fold}"},
        ),
    ),
    sheets=(
        *(losses(), sweeps(), supervised()),
        *(patches("patch_half", 0.5, 14), patches("patch_two", 2.0, 30)),
    ),
)
