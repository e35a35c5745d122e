r"""Trains the same small model on meshes of eight virtual devices; says what it saw.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 \
        python -m tests.train.eight_devices FOLDER

writes FOLDER/report.json.
"""

import dataclasses
import json
import pathlib
import sys

import jax
import numpy as np

from configs.mae_wrist import RULES
from sigjax.losses.spectral import SpectralLossConfig
from sigjax.tasks.masked_modelling import MaskedModelling
from sigjax.train.sharding import MeshConfig, MeshError, make_mesh
from tests.train import toy
from tests.train.line import logged, make_trainer, plain

STEPS = 4
# Meshes and microbatches.
CASES = (((8, 1, 1), 1), ((1, 8, 1), 1), ((1, 1, 8), 1), ((2, 2, 2), 2))
WATCHED = ("blocks/attention/qkv/kernel", "embed/kernel", "head/kernel")


def mesh_of(data, fsdp, tensor):
    return make_mesh(MeshConfig(data=data, fsdp=fsdp, tensor=tensor))


class TrainingOnly(toy.ToyData):
    """Nobody is held out, so that no evaluation is compiled."""

    def evaluation(self, *, shard_index, shard_count):
        return iter(())


def make_task(**changes):
    model = dataclasses.replace(toy.MODEL, num_heads=8, **changes)
    # Spectra take long to compile and have no parameters.
    loss = SpectralLossConfig(lmm=0.0, mse=1.0, n_fft=8)
    return MaskedModelling(model, loss, toy.TASK)


def build(workdir, *, mesh=None, **options):
    options = {"task": make_task(), "data": TrainingOnly(), **options}
    return make_trainer(
        workdir, mesh=mesh, rules=RULES, steps=STEPS, checkpoint_every=STEPS, **options
    )


def shards(trainer):
    """Shape of each device's part of a kernel and of its two Adam moments."""
    found = {}
    adam = trainer.state.opt_state[1][0]
    trees = {"params": trainer.state.params, "mu": adam.mu, "nu": adam.nu}
    for tree, values in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(values):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            if name.endswith(WATCHED):
                parts = {s.data.shape for s in leaf.addressable_shards}
                short = name.split("/")[-2]
                found[f"{tree} {short} {leaf.shape}"] = sorted(parts)
    return found


def difference(some, others):
    return max(
        float(np.abs(some[name] - others[name]).max())
        for name in some
        if some[name].dtype == np.float32
    )


def losses(workdir):
    return [(row["loss"], row["grad_norm"]) for row in logged(workdir)]


def refusal(function):
    try:
        function()
    except MeshError as error:
        return str(error)
    return "none"


def main(root):
    one = build(root / "one")
    one.run()
    expected = plain(one.state)
    report = {"devices": jax.device_count(), "loss": losses(root / "one"), "meshes": {}}
    for shape, accumulation in CASES:
        workdir = root / f"{shape}-{accumulation}"
        trainer = build(workdir, mesh=mesh_of(*shape), accumulation=accumulation)
        before = trainer.compile_s
        trainer.run()
        report["meshes"][f"{shape} {accumulation}"] = {
            "loss": losses(workdir),
            "state": difference(plain(trainer.state), expected),
            "shards": shards(trainer),
            "compile_s": before,
        }
    other = build(root / "(2, 2, 2)-2", mesh=mesh_of(1, 8, 1))
    saved = build(root / "(2, 2, 2)-2", mesh=mesh_of(2, 2, 2))
    report["restored"] = {
        "step": other.start_step,
        "difference": difference(plain(other.state), plain(saved.state)),
        "shards": shards(other),
    }
    report["refused"] = {
        "devices": refusal(lambda: mesh_of(3, 1, 1)),
        "rest": refusal(lambda: mesh_of(-1, 3, 1)),
        "two unknown": refusal(lambda: mesh_of(-1, -1, 1)),
        "batch": refusal(
            lambda: build(
                root / "x", mesh=mesh_of(8, 1, 1), data=TrainingOnly(batch_size=4)
            )
        ),
        "parameter": refusal(
            lambda: build(
                root / "x",
                mesh=mesh_of(1, 1, 8),
                task=make_task(mlp_dim=36),
            )
        ),
    }
    (root / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
