r"""Other people's weights as an inference bundle; needs no torch, executes nothing.

python -m launch.convert --from=mtl_best.mdl --system=harnet10 --output=bundles/harnet10

Reads PyTorch checkpoints (.pt, .pth, .mdl, .bin; also those of torch before 1.6) and
safetensors files. What is written is what `sigjax.load` and `encoder.weights` of
`launch.finetune` take.

Systems:
  harnet10   the public network of Yuan et al. 2024, 10 s of wrist data at 30 Hz. Its
             weights are the University of Oxford's, for academic use: fetch
             model_check_point/mtl_best.mdl from github.com/OxWearables/ssl-wearables,
             under the licence there.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import app, flags
from etils import epath

from launch import command, runtime
from sigjax import export
from sigjax.convert.harnet import HarNetWeights, convert_harnet
from sigjax.convert.torch_files import WeightsError, read_state_dict


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """A network whose published weights we read.

    Attributes:
      convert: State dict to config, `params`, `batch_stats` and what was ignored.
      signal: What it takes in.
      preprocessing: How its training data were prepared, as far as that is published.
      licence: Of the weights.
    """

    convert: Callable[[Mapping[str, Any]], HarNetWeights]
    signal: export.SignalConfig
    preprocessing: Mapping[str, Any]
    licence: str


SYSTEMS: Mapping[str, System] = {
    "harnet10": System(
        convert=convert_harnet,
        signal=export.SignalConfig(
            rate_hz=30.0, channels=3, units="g", window_s=10.0, patch_s=10.0
        ),
        preprocessing={"rate_hz": 30.0, "interpolation": "linear"},
        licence=(
            "the weights are the University of Oxford's, for academic use only: see"
            " github.com/OxWearables/ssl-wearables; sigjax does not distribute them"
        ),
    ),
}


def convert(
    source: epath.PathLike, system: str, output: epath.PathLike
) -> HarNetWeights:
    """Writes the bundle of a published network; returns what was read.

    Raises:
      sigjax.convert.torch_files.WeightsError: The file cannot be read, or is of
        another network.
      OSError: It does not exist, or the bundle cannot be written.
    """
    source, chosen = epath.Path(source), SYSTEMS[system]
    try:
        weights = chosen.convert(read_state_dict(source))
    except WeightsError as error:
        text = str(error)
        named = text if text.startswith(str(source)) else f"{source}: {text}"
        raise WeightsError(named) from None
    export.save(
        output,
        model=system,
        params=weights.params,
        state={"batch_stats": weights.batch_stats},
        model_config=weights.config,
        signal=chosen.signal,
        preprocessing=chosen.preprocessing,
        source_run={
            "file": source.name,
            "sha256": _sha256(source),
            "system": system,
            "licence": chosen.licence,
            "ignored": list(weights.ignored),
        },
    )
    return weights


def _sha256(path: epath.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def report(weights: HarNetWeights) -> str:
    """What was converted and what was left out, for people."""
    count = sum(leaf.size for leaf in jax.tree.leaves(weights.params))
    lines = [f"{count:,} parameters"]
    if weights.ignored:
        names = ", ".join(weights.ignored)
        lines.append(f"ignored {len(weights.ignored)} arrays of heads: {names}")
    return "\n".join(lines)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("from", None, "Checkpoint or safetensors file.")
    flags.DEFINE_enum("system", None, list(SYSTEMS), "Whose network it is.")
    flags.DEFINE_string("output", None, "Folder of the bundle; replaced if it is one.")
    flags.mark_flags_as_required(["from", "system", "output"])


def main(argv: list[str]) -> None:
    """Converts what the flags name."""
    command.refuse_arguments(argv)
    runtime.start()
    given = flags.FLAGS
    source = str(given["from"].value)  # "from" is a keyword of Python
    try:
        weights = convert(source, given.system, given.output)
        print(report(weights))
        print(f"{source} -> {given.output}")
        print(f"licence: {SYSTEMS[given.system].licence}")
        print(export.load(given.output))
    except (WeightsError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
