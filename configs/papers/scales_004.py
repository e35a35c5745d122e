"""How large the cells of paper 004 are."""

_QUIET = {"train.log_every": 500, "train.checkpoint_every": 100_000}
_SMOKE = {
    "train.steps": 2,
    "train.log_every": 1,
    "train.evaluate_every_epochs": 1e6,
    "data.batch_size": 16,
}

SCALES = (
    dict(
        key="small",
        says="minutes on two CPU cores a sheet; examples as given",
        overrides={
            "autoencoder": {**_QUIET, "train.evaluate_every_epochs": 1e6},
            "autoencoder:digits": {"train.epochs": 60.0},
            "autoencoder:sounds": {"train.epochs": 8.0},
            "autoencoder:wrist": {"train.epochs": 150.0},
            "autoencoder:curve": {"train.epochs": 40.0},
            "masked": {**_QUIET, "train.evaluate_every_epochs": 1e6},
            "gan": _QUIET,
            "gan:ring": {"train.steps": 5000},
            "gan:digits": {"train.steps": 3000},
            "gan:sounds": {"train.steps": 400},
            "classifier": {"train.steps": 600, "train.evaluate_every": 10_000},
            "segmentation": {"train.steps": 150, "optim.warmup_steps": 20},
        },
        seeds=2,
        cost=dict(
            each=dict(
                autoencoder=1.0,
                masked=1.0,
                gan=2.0,
                segmentation=5.0,
                classifier=0.5,
                measure=0.1,
            ),
            unit="core minutes",
            source="about",
        ),
    ),
    dict(
        key="smoke",
        says="two steps: whether it runs, not what it finds",
        variants=dict(segmentation="smoke"),
        overrides=dict(
            autoencoder=_SMOKE,
            masked=_SMOKE,
            gan=_SMOKE,
            classifier={"train.steps": 2, "train.log_every": 1, "data.batch_size": 16},
        ),
        settings=dict(
            contraction=dict(most=20),
            field=dict(points=50, grid=9),
            denoising=dict(most=20, chosen_on=20),
            anomaly=dict(epochs=1),
            samples=dict(most=16, sounds=1, rounds=2),
            modes=dict(samples=50),
        ),
        seeds=1,
        simulated=48,
        optimise=False,
    ),
)
