r"""Other people's weights as an inference bundle; needs no torch, executes nothing.

python -m launch.convert --from=mtl_best.mdl --system=harnet10 --output=bundles/harnet10
python -m launch.convert --from=SNAPSHOT --system=ast --output=bundles/ast
python -m launch.convert --from=SNAPSHOT --system=speech --output=bundles/hubert

Reads PyTorch checkpoints (.pt, .pth, .mdl, .bin; also those of torch before 1.6) and
safetensors files, the .index.json of weights divided among files, or the folder of a
snapshot that holds one of them. What is written is what `sigjax.load` and
`encoder.weights` of `launch.finetune` take.

Systems:
  harnet10   the public network of Yuan et al. 2024, 10 s of wrist data at 30 Hz. Its
             weights are the University of Oxford's, for academic use: fetch
             model_check_point/mtl_best.mdl from github.com/OxWearables/ssl-wearables,
             under the licence there.
  ast        Audio Spectrogram Transformers (Gong et al. 2021): the folder of a
             snapshot of transformers' ASTForAudioClassification (config.json and
             model.safetensors or pytorch_model.bin), a .pth of
             github.com/YuanGongND/ast, or a distilled DeiT of ImageNet, whose stem and
             positions become those of spectrograms: see `sigjax.convert.ast`.
  dat        DAT and DAT++ of ImageNet (github.com/LeapLabTHU/DAT), as networks of
             spectrograms: see `sigjax.convert.dat`. DATAR starts from them.
  speech     wav2vec 2.0, HuBERT, WavLM and AVES: the folder of a snapshot of
             transformers (config.json, preprocessor_config.json, model.safetensors or
             pytorch_model.bin, vocab.json), a .pt of torchaudio with its
             .model_config.json, or a .pt of fairseq: see `sigjax.convert.speech`.

Bundles of ast and dat recognise audio events if they have a head, and give features in
any case; `encoder.weights=BUNDLE` of launch.finetune trains them on. `--frames` and
`--bands` are of the spectrograms that they shall take: 1024 frames are 10 s. Bundles of
speech give features of every layer (`sigjax.load(BUNDLE).embed`).
"""

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
from absl import app, flags
from etils import epath

from launch import command, runtime
from sigjax import export
from sigjax.convert.ast import read_ast
from sigjax.convert.audio import AudioWeights, weights_file
from sigjax.convert.dat import read_dat
from sigjax.convert.harnet import convert_harnet
from sigjax.convert.shards import files_of
from sigjax.convert.speech import read_speech
from sigjax.convert.torch_files import WeightsError, read_state_dict


class Converted(NamedTuple):
    """A network out of other people's file.

    Attributes:
      config: Its architecture.
      params: Float32 parameters, nested.
      signal: What it takes in.
      preprocessing: How its training data were prepared, as far as that is published.
      state: Its other collections.
      labels: Class names in output order, or None.
      extra: What else its bundle says.
      ignored: Names of arrays that were left out.
      notes: What was changed on the way.
    """

    config: Any
    params: Any
    signal: export.SignalConfig
    preprocessing: Mapping[str, Any]
    state: Mapping[str, Any] = {}
    labels: tuple[str, ...] | None = None
    extra: Mapping[str, Any] = {}
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Read(Protocol):
    """Reads a file, or a snapshot's folder."""

    def __call__(
        self, path: epath.Path, *, frames: int | None, bands: int | None
    ) -> Converted:
        """`frames` and `bands` as the command's flags."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """A network whose published weights we read; its bundle's model has its name.

    Attributes:
      read: Makes it of a file.
      licence: Of the weights.
    """

    read: Read
    licence: str


def _harnet10(path: epath.Path, *, frames: int | None, bands: int | None) -> Converted:
    if frames is not None or bands is not None:
        raise WeightsError("frames and bands are of spectrograms: harnet10 takes none")
    weights = convert_harnet(read_state_dict(weights_file(path)))
    return Converted(
        config=weights.config,
        params=weights.params,
        signal=export.SignalConfig(
            rate_hz=30.0, channels=3, units="g", window_s=10.0, patch_s=10.0
        ),
        preprocessing={"rate_hz": 30.0, "interpolation": "linear"},
        state={"batch_stats": weights.batch_stats},
        ignored=weights.ignored,
    )


def audio(read: Callable[..., AudioWeights]) -> Read:
    """How a converter of an audio network takes part.

    Args:
      read: `read(path, frames=..., bands=...)`, where None keeps the checkpoint's own
        size, or the usual one for a network of images.
    """

    def converted(
        path: epath.Path, *, frames: int | None, bands: int | None
    ) -> Converted:
        weights = read(path, frames=frames, bands=bands)
        fbank = weights.preprocessing["fbank"]
        params = {"backbone": weights.params}
        if weights.head is not None:
            params["head"] = weights.head
        return Converted(
            config=weights.config,
            params=params,
            signal=export.SignalConfig(
                rate_hz=fbank["rate_hz"],
                channels=1,
                units="full scale",
                window_s=weights.preprocessing["frames"] * fbank["shift_ms"] / 1000,
                patch_s=fbank["shift_ms"] / 1000,
                normalisation="fbank",
            ),
            preprocessing=weights.preprocessing,
            labels=weights.labels,
            extra={"head_eps": weights.head_eps, "target": weights.target},
            ignored=weights.ignored,
            notes=weights.notes,
        )

    return converted


def _speech(path: epath.Path, *, frames: int | None, bands: int | None) -> Converted:
    if frames is not None or bands is not None:
        raise WeightsError("frames and bands are of spectrograms: speech takes waves")
    weights = read_speech(path)
    rate_hz, c = weights.preprocessing["rate_hz"], weights.config
    return Converted(
        config=c,
        params=weights.params,
        signal=export.SignalConfig(
            rate_hz=rate_hz,
            channels=1,
            units="full scale",
            window_s=c.min_samples / rate_hz,
            patch_s=c.hop / rate_hz,
            normalisation=weights.preprocessing["normalise"],
        ),
        preprocessing=weights.preprocessing,
        labels=weights.labels,
        extra={"layout": weights.layout},
        ignored=weights.ignored,
        notes=weights.notes,
    )


SYSTEMS: Mapping[str, System] = {
    "harnet10": System(
        read=_harnet10,
        licence=(
            "the weights are the University of Oxford's, for academic use only: see"
            " github.com/OxWearables/ssl-wearables; sigjax does not distribute them"
        ),
    ),
    "ast": System(
        read=audio(read_ast),
        licence=(
            "AST's weights and code are under BSD-3-Clause (Yuan Gong), DeiT's under"
            " Apache-2.0 (Facebook); of others see where the file came from"
        ),
    ),
    "dat": System(
        read=audio(read_dat),
        licence="DAT's weights and code are under Apache-2.0 (LeapLabTHU)",
    ),
    "speech": System(
        read=_speech,
        licence=(
            "see where the file came from: wav2vec 2.0 and HuBERT are Facebook's, WavLM"
            " is Microsoft's, AVES the Earth Species Project's"
        ),
    ),
}


def convert(
    source: epath.PathLike,
    system: str,
    output: epath.PathLike,
    *,
    frames: int | None = None,
    bands: int | None = None,
) -> Converted:
    """Writes the bundle of a published network; returns what was read.

    Args:
      source: The file, or the folder of a snapshot.
      system: A key of `SYSTEMS`.
      output: Where the bundle is to be.
      frames: Of the spectrograms that an audio network is to take; its own if None.
      bands: Likewise.

    Raises:
      sigjax.convert.torch_files.WeightsError: The file cannot be read, or is of
        another network.
      OSError: It does not exist, or the bundle cannot be written.
    """
    source, chosen = epath.Path(source), SYSTEMS[system]
    try:
        found = chosen.read(source, frames=frames, bands=bands)
    except WeightsError as error:
        text = str(error)
        named = text if text.startswith(str(source)) else f"{source}: {text}"
        raise WeightsError(named) from None
    file = weights_file(source)
    export.save(
        output,
        model=system,
        params=found.params,
        state=found.state,
        model_config=found.config,
        signal=found.signal,
        preprocessing=found.preprocessing,
        labels=found.labels,
        extra=found.extra,
        source_run={
            "file": file.name,
            "sha256": _sha256(files_of(file)),
            "system": system,
            "licence": chosen.licence,
            "ignored": list(found.ignored),
            "notes": list(found.notes),
        },
    )
    return found


def _sha256(paths: Iterable[epath.Path]) -> str:
    """Of all that the files hold, one after another."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def report(found: Converted) -> str:
    """What was converted and what was left out, for people."""
    count = sum(leaf.size for leaf in jax.tree.leaves(found.params))
    lines = [f"{count:,} parameters", *found.notes]
    if found.ignored:
        names = ", ".join(found.ignored)
        lines.append(f"ignored {len(found.ignored)} arrays of heads: {names}")
    return "\n".join(lines)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("from", None, "Checkpoint, safetensors file or snapshot.")
    flags.DEFINE_enum("system", None, list(SYSTEMS), "Whose network it is.")
    flags.DEFINE_string("output", None, "Folder of the bundle; replaced if it is one.")
    flags.DEFINE_integer("frames", None, "Of spectrograms; 1024 are 10 s.")
    flags.DEFINE_integer("bands", None, "Of spectrograms.")
    flags.mark_flags_as_required(["from", "system", "output"])


def main(argv: list[str]) -> None:
    """Converts what the flags name."""
    command.refuse_arguments(argv)
    runtime.start()
    given = flags.FLAGS
    source = str(given["from"].value)  # "from" is a keyword of Python
    try:
        found = convert(
            source,
            given.system,
            given.output,
            frames=given.frames,
            bands=given.bands,
        )
        print(report(found))
        print(f"{source} -> {given.output}")
        print(f"licence: {SYSTEMS[given.system].licence}")
        print(export.load(given.output))
    except (WeightsError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
