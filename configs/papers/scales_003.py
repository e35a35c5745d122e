"""How large the cells of paper 003 are: the paper's, or simulated and small."""

# Splits as published decide, unless a set has folds alone; the last step is reported.
_PUBLISHED = {
    "data.simulate": None,
    "data.test_fold": 0,
    "data.validation_fold": 0,
    "train.select": "",
}


def _ast(**sizes):
    """Overrides of AST's section."""
    return {f"encoder.ast.{name}": value for name, value in sizes.items()}


_SMALL = {**_PUBLISHED, "train.epochs": 30.0, "data.batch_size": 16}
_SMOKE = {**_PUBLISHED, "train.steps": 2}


def _simulated(**sizes):
    """A set in each data set's place; of verbs and nouns there are four each."""
    events = dict(layout="esc50", **sizes)
    kitchen = dict(events, layout="epic_kitchens", seed=2)
    kitchen["clips"] = sizes["clips"] * sizes["classes"]
    return dict(
        kinetics_sounds=dict(events, seed=0),
        vggsound=dict(events, seed=1),
        epic_kitchens=kitchen,
    )


SCALES = (
    dict(
        key="paper",
        says="the paper's sets, sizes and epochs, from weights of ImageNet-1k",
        pretrained=True,
        overrides=dict(dat=_PUBLISHED, ast=_PUBLISHED),
        cost=dict(
            each=dict(dat=7, ast=75, count=0.01),
            unit="GPU hours",
            source="estimated and not measured: 7 million clips of Kinetics-Sounds at 3"
            " x 24 and 3 x 260 GFLOP and 20 TFLOP/s; of VGGSound 1.2 times that",
        ),
    ),
    dict(
        key="small",
        says="a narrow network on simulated sounds (or a small set of your own), 30"
        " epochs, from scratch",
        variants=dict(dat="{dataset}+demo", ast="{dataset}+demo+ast"),
        overrides=dict(
            dat=_SMALL,
            ast={
                **_SMALL,
                **_ast(width=96, depth=4, heads=3, mlp=384, stride_t=16, stride_f=16),
            },
        ),
        simulated=_simulated(clips=30, classes=8, clip_s=2.0),
        cost=dict(
            each=dict(dat=3.0, ast=1.2, count=0.1),
            unit="core minutes",
            source="about, from the CPU time of one cell of each at half the epochs",
        ),
    ),
    dict(
        key="smoke",
        says="two steps: whether it runs, not what it finds",
        optimise=False,
        variants=dict(dat="{dataset}+smoke", ast="{dataset}+smoke+ast"),
        overrides=dict(
            dat=_SMOKE,
            ast={
                **_SMOKE,
                **_ast(width=8, depth=1, heads=1, mlp=8, stride_t=16, stride_f=16),
            },
        ),
        simulated=_simulated(clips=5, classes=6, clip_s=0.5),
    ),
)
