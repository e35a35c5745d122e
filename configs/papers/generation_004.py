"""Experiments of paper 004: what is made anew, labels that are saved, masks."""

from configs.networks.stacks import dense

# The last step is reported: labels that choose one would be labels, too.
_LAST = {"train.select": "", "data.validation": 0.0, "data.validation_groups": ()}
_SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)


def generation(net):
    """Samples of digits and of sounds."""

    def row(data, name, config, kind="autoencoder", **more):
        return dict(labels=(data, name), data=data, kind=kind, config=config, **more)

    digits, sounds = "autoencoder:digits+vae", "autoencoder:fsdd+vae"
    held = {"data.held_out": 0.2}
    plain = net(dense((64, 128, 8), "relu", "tanh"))
    rows = [
        row("digits", "training examples", digits, method="held_out"),
        row(
            *("digits", "normal distribution of 32 components", digits),
            method="gaussian",
            settings=dict(code=32),
        ),
        row(
            *("digits", "plain autoencoder, normal codes", "autoencoder:digits"),
            overrides=plain,
        ),
        row("digits", "variational autoencoder", digits),
        row(
            *("digits", "adversarial autoencoder", "gan:digits+adversarial", "gan"),
            overrides=held,
        ),
        row("digits", "GAN of convolutions", "gan:digits", "gan", overrides=held),
        row("sounds", "training examples", sounds, method="held_out"),
        row(
            *("sounds", "normal distribution of 64 components", sounds),
            method="gaussian",
            settings=dict(code=64),
        ),
        row(
            *("sounds", "variational autoencoder", sounds),
            overrides={"train.epochs": 12.0},
        ),
        row("sounds", "GAN of convolutions", "gan:fsdd", "gan"),
    ]
    return dict(
        key="generation",
        title="Can samples be told from held-out examples?",
        deck="generating new data: variational and adversarial autoencoders, GANs",
        columns=("data", "samples of"),
        rows=rows,
        measure="samples",
        settings=dict(most=300, code=32, sounds=4, rounds=60),
        metrics=dict(
            told_apart=dict(name="told apart, %", digits=1, factor=100),
            distance=dict(name="distance to training examples", digits=2),
        ),
        figure="images",
        notes=(
            "told apart: how often an example's nearest other one is of its own kind,"
            " held out or sample (a two-sample test by nearest neighbours): 50 is"
            " ideal, 100 is that all can be told, below 50 they are copies",
            "distance: median distance of samples to the nearest training example, over"
            " that of held-out ones; 1 is ideal, far below 1 are copies, or means",
            "training examples in place of samples are what no generator beats",
        ),
    )


def modes():
    """A ring of Gaussians."""

    def row(name, config, **more):
        return dict(
            labels=(name,), data="ring", kind="gan", config=f"gan:{config}", **more
        )

    rows = [
        row("the mixture itself", "points", method="held_out"),
        row("one Gaussian", "points", method="gaussian"),
        row("GAN", "points", overrides={"task.r1": 0.0}),
        row("GAN, R1 penalty", "points"),
        row("GAN, spectral norm", "spectral"),
        row("adversarial autoencoder", "adversarial"),
    ]
    return dict(
        key="modes",
        title="How many of eight modes does a generator reach?",
        deck="generative adversarial networks",
        columns=("samples of",),
        rows=rows,
        measure="modes",
        settings=dict(samples=2000, within=3.0),
        metrics=dict(
            covered=dict(name="modes reached, of 8", digits=1, better="high"),
            good=dict(name="good samples, %", digits=1, factor=100, better="high"),
            divergence=dict(name="divergence from equal shares, nats", digits=3),
        ),
        figure="clouds",
        notes=(
            "a sample is good within three standard deviations of a mode (of the"
            " mixture's own, 98.9 % are); a mode is reached by a tenth of the good"
            " samples that it should have",
        ),
    )


# What a classifier starts from; of the masked autoencoder's network its own bar.
_SCRATCH, _MASKED_SCRATCH = "from scratch", "masked network, from scratch"
_JOINT, _GREEDY = "autoencoder", "autoencoder, layer by layer"
_DENOISING = "denoising, layer by layer"
# Of paper 000, as its authors train it and with samples besides; their configs.
_MASKED = {
    "masked autoencoder (paper 000)": "mae_windows",
    "masked autoencoder, LMM + 10 MSE": "mae_windows:both",
}
_LAST_LAYER = ", of layer 3"
# Its windows are denoised anyhow.
_CLEAN = {"task.noise.kind": "none"}


def _before(data):
    """What classifiers start from: all layers at once, or one after another."""
    clean = dict(
        data=data,
        hidden=True,
        config=f"autoencoder:{data}+initial",
        overrides=_CLEAN if data == "wrist" else {},
    )
    noisy = dict(clean, config=f"autoencoder:{data}+denoising+initial", overrides={})
    rows = [dict(clean, labels=(data, _JOINT, ""))]
    for name, config in ((_GREEDY, clean), (_DENOISING, noisy)):
        for depth in (1, 2, 3):
            rows.append(
                dict(
                    config,
                    labels=(data, f"{name}, of layer {depth}", ""),
                    overrides={**config["overrides"], "task.depth": depth},
                    parent=f"{data} {name}, of layer {depth - 1}" if depth > 1 else "",
                )
            )
    if data == "wrist":
        masked = dict(data=data, hidden=True, kind="masked")
        rows += [
            dict(masked, labels=(data, name, ""), config=config)
            for name, config in _MASKED.items()
        ]
    return rows


def _starts(data):
    """By name of what a classifier starts from: its config, parent and bar."""
    own = f"code_classifier:{data}"
    found = {_SCRATCH: (own, "", "")}
    for name, last in ((_JOINT, ""), (_GREEDY, _LAST_LAYER), (_DENOISING, _LAST_LAYER)):
        found[name] = own, f"{data} {name}{last}", _SCRATCH
    if data == "wrist":
        masked = f"{own}+mae"
        found[_MASKED_SCRATCH] = masked, "", ""
        for name in _MASKED:
            found[name] = masked, f"{data} {name}", _MASKED_SCRATCH
    return found


def initialisation():
    """Shares of labels, by what a classifier starts from."""
    rows = []
    for data in ("digits", "wrist"):
        rows += _before(data)
        for share in _SHARES:
            for name, (config, parent, bar) in _starts(data).items():
                rows.append(
                    dict(
                        labels=(data, name, f"{100 * share:g}"),
                        line=name,
                        x=100 * share,
                        data=data,
                        kind="classifier",
                        config=config,
                        overrides={
                            **_LAST,
                            "data.labelled": share,
                            "data.label_seed": "{seed}",
                        },
                        parent=parent,
                        against=f"{data} {bar} {100 * share:g}" if bar else "",
                    )
                )
    return dict(
        key="initialisation",
        title="What are few labels worth, by what a classifier starts from?",
        deck="autoencoders for weight initialisation: labelled data are scarce",
        columns=("data", "starts from", "labels, %"),
        rows=rows,
        measure="labels",
        settings=dict(log_x=True),
        metrics=dict(
            balanced_accuracy=dict(name="balanced accuracy", digits=3, better="high"),
            macro_f1=dict(name="macro-F1", digits=3, better="high"),
        ),
        figure="curves+gains",
        x="labels of the training examples, %",
        seeds=5,
        notes=(
            "all training examples are seen by the autoencoder, without labels; a seed"
            " draws weights and which labels are shown, as many steps for every share",
            "the masked autoencoder is another network than the others', so it has a"
            " bar of its own: the same network from scratch",
        ),
    )


def segmentation():
    """Masks of events."""
    variants = {
        "U-Net": "compact+event",
        "U-Net without skips": "compact+event+no_skips",
        "FCN-32s": "compact+event+fcn32",
        "FCN-16s": "compact+event+fcn16",
        "FCN-8s": "compact+event+fcn8",
    }
    rows = [
        dict(
            labels=(name,),
            data="events",
            kind="segmentation",
            config=f"segmentation:{variant}",
            overrides={"data.seed": "{seed}"},
            against="" if name == "U-Net without skips" else "U-Net without skips",
        )
        for name, variant in variants.items()
    ]
    return dict(
        key="segmentation",
        title="Do skip connections sharpen the edges of events?",
        deck="semantic segmentation, skip connections, U-Net",
        columns=("network",),
        rows=rows,
        measure="segments",
        metrics=dict(
            boundary_f1_40=dict(
                name="F1 of boundaries, 40 ms", digits=3, better="high"
            ),
            boundary_f1_200=dict(
                name="F1 of boundaries, 200 ms", digits=3, better="high"
            ),
            iou=dict(name="IoU of cells", digits=3, better="high"),
            frame_f1=dict(name="F1 of frames", digits=3, better="high"),
            parameters=dict(name="parameters", digits=0),
        ),
        figure="dots+examples",
        notes=(
            "mixtures of clips of the fold that was held out; onsets and offsets are"
            " matched one to one",
        ),
    )


def sheets(net):
    """All of them, in the order of the slides."""
    return (initialisation(), generation(net), segmentation(), modes())
