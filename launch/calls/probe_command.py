"""`launch.probe` of calls: its flags."""

import os
import sys
from typing import Any

import jax
from absl import app, flags

from launch import command, runtime
from launch.calls.probing import KINDS, SPLITS, Probing, ProbingError, run_probing
from launch.calls.probing_calls import VALIDATIONS
from sigjax.data.clips import ManifestError
from sigjax.evals.layer_features import FeaturesError
from sigjax.evals.layer_probes import PROTOCOLS

EXPECTED_ERRORS = (FeaturesError, ManifestError, OSError, ProbingError)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    own: dict[str, Any] = {"flag_values": values}
    whose = "Folders of launch.extract, a model each: FOLDER or NAME=FOLDER."
    flags.DEFINE_list("features", None, whose, **own)
    flags.DEFINE_string("output", None, "Folder of what is found.", **own)
    how = "How probes are trained: ours, or as in the paper."
    flags.DEFINE_enum("protocol", "default", list(PROTOCOLS), how, **own)
    which = f"Probes, some of {', '.join(KINDS)}."
    flags.DEFINE_list("kind", ["mlp"], which, **own)
    flags.DEFINE_list("layers", [], "Names of those to probe; by default all.", **own)
    divided = "How calls are divided: as their manifest does, or anew."
    flags.DEFINE_enum("split", "manifest", list(SPLITS), divided, **own)
    many = "How many, for --split=folds."
    flags.DEFINE_integer("folds", 5, many, lower_bound=3, **own)
    source = (
        "Where clips to choose epochs and layers by come from: 'given' is the"
        " manifest's, of folds the following fold; 'groups' takes whole groups out of"
        " those to train on, 'share' a share of each class, as 'given' does where there"
        " are none."
    )
    flags.DEFINE_enum("validation", "given", list(VALIDATIONS), source, **own)
    share = "Of the calls to train on, where they are taken from these."
    flags.DEFINE_float("validation_fraction", 0.2, share, **own)
    seed = "Of the division; by default 42 for paper, else 0."
    flags.DEFINE_integer("split_seed", None, seed, lower_bound=0, **own)
    fuse = "Whether several models' posteriors are fused."
    flags.DEFINE_bool("fuse", True, fuse, **own)
    probes = "Of the probes; by default the protocol's."
    flags.DEFINE_list("seeds", [], probes, **own)
    flags.DEFINE_integer("epochs", None, "At most; by default the protocol's.", **own)
    flags.DEFINE_integer("batch", None, "Clips; by default the protocol's.", **own)
    near = "Numbers that knn chooses from; by default the protocol's."
    flags.DEFINE_list("neighbours", [], near, **own)
    flags.DEFINE_string("title", "", "Over figures.", **own)
    flags.DEFINE_string("note", "", "Under the title of figures.", **own)
    memory = "Of features, at once on a device."
    flags.DEFINE_float("memory_mib", 4096, memory, lower_bound=1, **own)
    replace = "Whether results of other settings in OUTPUT are replaced."
    flags.DEFINE_bool("overwrite", False, replace, **own)
    for name in ("features", "output"):
        flags.mark_flag_as_required(name, values)


parse_flags = app.parse_flags_with_usage


def probing_of(f: flags.FlagValues) -> Probing:
    """What the flags ask for.

    Raises:
      ProbingError: There is no such thing.
    """
    return Probing(
        features=tuple(f.features),
        output=f.output,
        protocol=f.protocol,
        kinds=tuple(f.kind),
        layers=tuple(f.layers),
        split=f.split,
        folds=f.folds,
        validation=f.validation,
        validation_fraction=f.validation_fraction,
        split_seed=f.split_seed,
        fuse=f.fuse,
        seeds=_numbers(f, "seeds"),
        epochs=f.epochs,
        batch=f.batch,
        neighbours=_numbers(f, "neighbours"),
        title=f.title,
        note=f.note,
        memory_mib=f.memory_mib,
        overwrite=f.overwrite,
    )


def _numbers(f: flags.FlagValues, name: str) -> tuple[int, ...]:
    given = getattr(f, name)
    try:
        return tuple(int(text) for text in given)
    except ValueError:
        raise ProbingError(
            f"--{name}={','.join(given)}: whole numbers are needed, such as 1,2,3"
        ) from None


def main(argv: list[str]) -> None:
    """Probes what the flags name."""
    command.refuse_arguments(argv)
    stopped = "stopped; what was done is kept: run again to go on"
    with command.told(EXPECTED_ERRORS, stopped):
        probing = probing_of(flags.FLAGS)
        if "JAX_NUM_CPU_DEVICES" not in os.environ:
            # Devices share the layers; without it there is one, of all cores, which
            # such small networks do not fill.
            jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
        runtime.start()
        if jax.process_count() > 1:
            sys.exit("error: launch.probe is of one process: give --distributed=off")
        run_probing(probing)
