"""Experiments of paper 004: what regularises, and what denoises and tells anomalies."""

from configs.networks.stacks import denoiser, dense


def sparse():
    """KL to a mean activation, measured."""
    rows = []
    for weight in (0.0, 0.001, 0.01, 0.1, 1.0):
        kl = dict(kind="kl", weight=weight, rho=0.05, active=0.5)
        rows.append(
            dict(
                labels=(f"{weight:g}",),
                line="overcomplete, sigmoid code of 128",
                x=weight,
                data="digits",
                config="autoencoder:digits+sparse",
                overrides={"task.sparsity": kl},
            )
        )
    return dict(
        key="sparse",
        title="Does the penalty bring activations to the 5 % that it asks for?",
        deck="regularise by enforcing sparsity",
        columns=("weight of the penalty",),
        rows=rows,
        measure="sparsity",
        settings=dict(
            active=0.5,
            log_x=True,
            levels=dict(mean_activation={"asked for: 5 %": 5.0}),
        ),
        metrics=dict(
            mean_activation=dict(name="mean activation, %", digits=1, factor=100),
            active=dict(name="numbers above 0.5, %", digits=1, factor=100),
            error=dict(name="mean squared error", digits=4, better="low"),
        ),
        figure="curves",
        x="weight of the KL divergence",
    )


def contractive():
    """The encoder's Jacobian."""
    rows = [
        dict(
            labels=(f"{weight:g}",),
            line="sigmoid code of 32",
            x=weight,
            data="digits",
            config="autoencoder:digits+contractive",
            overrides={"task.contractive": dict(weight=weight, method="auto")},
        )
        for weight in (0.0, 0.001, 0.01, 0.1, 1.0)
    ]
    return dict(
        key="contractive",
        title="Does the penalty make codes insensitive to small changes?",
        deck="regularise by enforcing smoothness: the contractive autoencoder",
        columns=("lambda",),
        rows=rows,
        measure="contraction",
        settings=dict(most=200, noise=0.1, log_x=True),
        metrics=dict(
            jacobian=dict(name="squared norm of the Jacobian", digits=3),
            shift=dict(name="shift of codes by noise, relative", digits=3),
            error=dict(name="mean squared error", digits=4, better="low"),
        ),
        figure="curves",
        x="lambda",
        notes=(
            "shift: distance of the codes of an image and of its noisy copy (standard"
            " deviation 0.1 of a range of 2), over that of two images: a code that only"
            " shrinks leaves it as it is",
        ),
    )


def manifold():
    """Where a denoising autoencoder moves points."""
    layers = dense((2, 64, 64, 2), "tanh", "identity")

    def row(label, noise):
        return dict(
            labels=(label,),
            data="curve",
            config="autoencoder:digits",
            overrides={
                **{f"model.{half}": layers[half] for half in layers},
                "model.input_shape": (2,),
                "task.input.scale": 1.0,
                "task.input.offset": 0.0,
                "task.noise": noise,
                "data.source": "points",
                "data.points": dict(kind="spiral", count=4096, sd=0.03),
            },
        )

    rows = [row("no noise", dict(kind="none"))]
    rows += [
        row(f"noise of {sd:g}", dict(kind="gaussian", sd=sd)) for sd in (0.1, 0.2, 0.4)
    ]
    return dict(
        key="manifold",
        title="Do reconstructions point to the curve that data lie on?",
        deck="learning the manifold: 2-D vector field around a 1-D curved manifold",
        columns=("trained with",),
        rows=rows,
        measure="field",
        settings=dict(points=1000, away=0.2, grid=25),
        metrics=dict(
            after=dict(name="distance to the curve after", digits=3, better="low"),
            before=dict(name="before", digits=3),
            cosine=dict(
                name="cosine with the way to the curve", digits=2, better="high"
            ),
        ),
        figure="field",
        notes=(
            "1,000 points, 0.2 (standard deviation) off a spiral of radius 2; without"
            " noise a code as wide as the data copies",
        ),
    )


_METHODS = (
    ("Wiener (local)", "wiener"),
    ("median", "median"),
    ("Wiener (training spectra)", "stationary"),
    ("denoising autoencoder", ""),
)


def denoising(net):
    """Gain at set ratios, beside filters."""
    noise = dict(kind="snr", snr_db=(-5.0, 20.0), noise="white", centred=True)
    wave = {
        "data.samples": 2048,
        "model.input_shape": (2048, 1),
        "task.input": dict(kind="values", scale=1 / 4096),
        "task.noise": noise,
        "task.likelihood": "log_mse",
        "model.residual": True,
        "model.base": "none",
        "optim.learning_rate": 1e-3,
        "optim.schedule": "constant",
        "optim.warmup_epochs": 0.0,
        "optim.eps": 1e-8,
        **net(denoiser((2048, 1))),
    }
    wrist = {
        "task.noise": noise,
        "task.likelihood": "log_mse",
        "model.residual": True,
        **net(denoiser((60, 3))),
    }
    configs = dict(wrist=("wrist", wrist), sounds=("fsdd", wave))
    rows = []
    for data, (config, overrides) in configs.items():
        for level in (-5.0, 0.0, 5.0, 10.0, 20.0):
            for name, method in _METHODS:
                bar = f"{data} {_METHODS[2][0]} {level:g}"
                rows.append(
                    dict(
                        labels=(data, name, f"{level:g}"),
                        line=name,
                        x=level,
                        data=data,
                        config=f"autoencoder:{config}",
                        overrides=overrides,
                        method=method,
                        settings=dict(snr_db=level),
                        against="" if method else bar,
                    )
                )
    return dict(
        key="denoising",
        title="Does a denoising autoencoder beat filters?",
        deck="denoising autoencoders; denoising examples",
        columns=("data", "method", "noise at, dB"),
        rows=rows,
        measure="denoising",
        settings=dict(most=400, chosen_on=200, shown_x=5.0),
        metrics=dict(
            gain_db=dict(name="gain, dB", digits=2, better="high"),
            after_db=dict(name="signal-to-noise ratio after, dB", digits=1),
        ),
        figure="curves+waves",
        x="signal-to-noise ratio before, dB",
        notes=(
            "one network is trained on ratios from -5 to 20 dB; filters are told the"
            " ratio: their window (1 to 33 samples) or spectra are those that gain most"
            " on training examples at it",
            "power is about the mean of each channel: gravity is no signal",
        ),
    )


def anomaly():
    """Stretches of a machine's sound, trained on its healthy state."""
    mel = dict(rate_hz=16_000, n_fft=2048, hop=2000, n_mels=32)
    sound = {
        "data.samples": 16_000,
        "data.rate_hz": 16_000,
        "task.input": dict(kind="log_mel", mel=mel, top_db=80.0),
        "model.input_shape": (9, 32, 1),
        "model.encoder": (dict(kind="flatten"), dict(kind="dense", width=8)),
        "model.decoder": (
            dict(kind="dense", width=288),
            dict(kind="reshape", shape=(9, 32, 1)),
        ),
    }

    def row(name, method, **settings):
        return dict(
            labels=(name,),
            data="machines",
            config="autoencoder:fsdd",
            overrides=sound,
            method=method,
            settings=settings,
            drawn=method in ("forest", "detector"),
            against="" if name == _BAR else _BAR,
        )

    kinds = {
        "dense autoencoder": dict(kind="dense"),
        "convolutional autoencoder": dict(kind="conv"),
        "variational autoencoder": dict(kind="dense", latent="gaussian"),
        "denoising autoencoder": dict(kind="dense", noise=0.5),
    }
    rows = [
        row(_BAR, "pca", code=8),
        row("Mahalanobis distance", "mahalanobis"),
        row("isolation forest", "forest"),
    ]
    rows += [row(name, "detector", detector=how) for name, how in kinds.items()]
    return dict(
        key="anomaly",
        title="Is a machine's fault heard by what has learnt its healthy sound alone?",
        deck="a use of what autoencoders cannot reconstruct (not in the slides)",
        columns=("method",),
        rows=rows,
        measure="anomaly",
        settings=dict(rate=0.05, epochs=60),
        metrics=dict(
            auc=dict(name="AUC", digits=3, better="high"),
            false_alarms=dict(
                name="false alarms, %", digits=1, better="low", factor=100
            ),
            found=dict(name="faults found, %", digits=1, better="high", factor=100),
        ),
        figure="dots",
        notes=(
            "stretches of a second, log-mels relative to each one's peak: loudness is"
            " no cue",
            "the threshold is set by a fifth of the training recordings, for 5 % false"
            " alarms; what they are on other recordings is measured",
        ),
    )


_BAR = "PCA residual"


def sheets(net):
    """All of them, in the order of the slides."""
    return (sparse(), contractive(), manifold(), denoising(net), anomaly())
