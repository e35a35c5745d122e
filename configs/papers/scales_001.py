"""How large the cells of paper 001 are: the paper's, or simulated and small."""

from configs.asd_sections import MACHINES


def shorter(clip_s, **changes):
    """Overrides of every model for simulated clips of another length."""
    return {"data.simulate": None, "data.clip_s": clip_s, **changes}


_SMALL = shorter(4.0, **{"train.epochs": 8.0, "train.checkpoint_every": 1000})
_SMOKE = shorter(
    2.0,
    **{
        "train.steps": 2,
        "data.validation_fraction": 0.0,
        "data.batch_size": 16,
    },
)
_CLASSIFY = {"task.clip_s": 4.0}
_CLASSIFY_2_S = {"task.clip_s": 2.0, "task.mel.n_mels": 32}
_ONE_BLOCK = {
    "model.dual_block.blocks": (1,),
    "model.dual_block.expansion": (2,),
    "model.dual_block.linear_branch": "none",
}

SCALES = (
    dict(
        key="paper",
        says="DCASE 2021 Task 2, the paper's sizes and epochs",
        cost=dict(
            each=dict(
                general=0.2,
                specific=0.03,
                autoencoder=0.05,
                mobilenet=0.4,
                evaluation=0.05,
            ),
            unit="GPU hours",
            source="estimated and not measured: 2.3 GFLOP a clip at 20 TFLOP/s",
        ),
    ),
    dict(
        key="small",
        says="all machines with a few simulated clips, a smaller network, 8 epochs",
        variants=dict(
            general="demo", specific="demo", autoencoder="demo", mobilenet="mobilenet"
        ),
        overrides=dict(
            general={**_SMALL, **_CLASSIFY},
            specific={**_SMALL, **_CLASSIFY},
            autoencoder={**_SMALL, "train.epochs": 60.0},
            mobilenet={**_SMALL, **_CLASSIFY, "optim.learning_rate": 1e-3},
        ),
        simulated=dict(
            machines=MACHINES,
            sections=("00", "01", "03", "04"),
            train_source=40,
            train_target=3,
            test_normal=15,
            test_anomaly=15,
            clip_s=4.0,
        ),
        cost=dict(
            each=dict(
                general=2.2,
                specific=0.4,
                autoencoder=0.5,
                mobilenet=0.7,
                evaluation=0.1,
            ),
            unit="core minutes",
            source="about, from the CPU time of a few cells",
        ),
    ),
    dict(
        key="smoke",
        says="two machines, two steps: whether it runs, not what it finds",
        optimise=False,
        machines=("fan", "valve"),
        cutoffs_hz=(0.0, 2000.0),
        variants=dict(
            general="smoke",
            specific="smoke",
            autoencoder="smoke",
            mobilenet="mobilenet",
        ),
        overrides=dict(
            general={**_SMOKE, **_CLASSIFY_2_S, **_ONE_BLOCK},
            specific={**_SMOKE, **_CLASSIFY_2_S, **_ONE_BLOCK},
            autoencoder=_SMOKE,
            mobilenet={
                **_SMOKE,
                **_CLASSIFY_2_S,
                "model.mobilenet.mels": 32,
                "model.mobilenet.frames": 32,
                "model.mobilenet.alpha": 0.1,
            },
        ),
        simulated=dict(
            machines=("fan", "valve"),
            sections=("00", "03"),
            train_source=12,
            train_target=3,
            test_normal=6,
            test_anomaly=6,
            clip_s=2.0,
        ),
    ),
)
