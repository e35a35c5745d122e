r"""Features of every layer of a speech encoder, of all calls of a manifest.

python -m launch.extract --bundle=bundles/hubert --manifest=calls.csv --output=features/

The bundle is of `launch.convert --system=speech`, or of a pre-training; the manifest of
`launch.build_calls`, or one's own. OUTPUT gets mean and standard deviation over frames
of layers 0 to L, float32 [clips, layers, 2 x width], which
`sigjax.evals.layer_features.ClipFeatures.open` maps, with ids, labels, splits and
groups; `features.json` says what they were made by and of, and which calls were left
out, short, silent or clipped.

What a call gives depends on it alone, not on the batch that it is in. A run that was
stopped goes on, to the same bits. One whose manifest has changed computes what is new:
calls are told apart by their stretch, and size and time of their file. Features made
otherwise (other weights, normalisation, ...) need a folder of their own.

The paper's features of one call at a time: --normalise=peak --short=tile5000 --ddof=1.

With a bundle of an autoencoder (launch.export) OUTPUT/codes.npz gets its codes, of the
sounds of a table, of a labelled wrist set or an .npz, by what it was trained on, and
scores, ids, labels and groups. Of the flags that follow it takes none:

    python -m launch.extract --bundle=bundles/ae --manifest=calls.csv --output=codes

One of a classifier on such codes (launch.finetune of configs/code_classifier.py) gives
its codes, with probabilities for scores.

All accelerators of a machine share its batches (`--devices`); on CPU as many as
JAX_NUM_CPU_DEVICES says. Several processes (`--distributed`) share the calls and write
to one folder, which all must see.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import tqdm
from absl import app, flags
from etils import epath

from launch import claims, command, runtime
from launch.autoencoders.use import extract_codes
from launch.calls.encoder import Encoder
from launch.calls.extraction import Done, Extraction, Settings
from launch.calls.progress import SoundBar
from sigjax import export
from sigjax.data import audio
from sigjax.data.calls import reading
from sigjax.data.calls.buckets import BucketConfig
from sigjax.data.calls.manifest import read_calls
from sigjax.data.clips import ManifestError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.examples.example_set import ExampleError
from sigjax.evals.layer_features import FeaturesError
from sigjax.inference.base import BundleError
from sigjax.train.checkpoint import CheckpointError

# Bundles whose codes are extracted, or that say why they have none.
_OF_EXAMPLES = ("autoencoder", "code_classifier", "generator")

EXPECTED_ERRORS = (
    BundleError,
    CheckpointError,
    DatasetError,
    ExampleError,
    FeaturesError,
    ManifestError,
    OSError,
)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string(
        "bundle", None, "Of a speech encoder, or an autoencoder.", **own
    )
    flags.DEFINE_string(
        "manifest", None, "Of calls, .csv or .jsonl; or see above.", **own
    )
    flags.DEFINE_string("output", None, "Folder of the features.", **own)
    below = "What the manifest's paths are relative to; by default its folder."
    flags.DEFINE_string("root", "", below, **own)
    level = "Of each call; by default as the encoder was trained."
    flags.DEFINE_enum("normalise", None, list(reading.NORMALISE), level, **own)
    odd = "Calls of less than two frames: repeated, as in the paper, or an error."
    flags.DEFINE_enum("short", "pad", list(reading.SHORT), odd, **own)
    which = "Of files with several: index or 'mean'."
    flags.DEFINE_string("channel", "0", which, **own)
    divisor = "1: standard deviations as torch.std gives them."
    flags.DEFINE_integer("ddof", 0, divisor, lower_bound=0, upper_bound=1, **own)
    before = "Whether the projected frames come before layer 0."
    flags.DEFINE_bool("proj", False, before, **own)
    how = "'hf': statistics over padding too, as transformers has them."
    flags.DEFINE_enum("norm_stats", "exact", ["exact", "hf"], how, **own)
    kinds = ["auto", "float32", "bfloat16"]
    flags.DEFINE_enum("dtype", "auto", kinds, "What is computed in.", **own)
    budget = "Samples of a batch on each device: 960,000 are a minute of sound."
    default = BucketConfig().budget
    flags.DEFINE_integer("batch_samples", default, budget, lower_bound=1, **own)
    share = "How many of this process share a batch; 0 for all."
    flags.DEFINE_integer("devices", 0, share, lower_bound=0, **own)
    flags.DEFINE_integer("threads", 4, "Calls read at once.", lower_bound=1, **own)
    for name in ("bundle", "manifest", "output"):
        flags.mark_flag_as_required(name, values)


def _settings(f: flags.FlagValues, encoder: Encoder) -> Settings:
    try:
        channel = audio.checked_channel(f.channel)
    except ValueError as error:
        raise ManifestError(f"--channel: {error}") from error
    multiple = len(encoder.devices)
    return Settings(
        reading=reading.ReadingConfig(
            normalise=f.normalise or encoder.model.normalise,
            rate_hz=encoder.model.rate_hz,
            channel=channel,
            short=f.short,
        ),
        buckets=BucketConfig(
            budget=f.batch_samples * multiple,
            multiple=multiple,
            most_rows=BucketConfig().most_rows * multiple,
        ),
        ddof=f.ddof,
        threads=f.threads,
    )


@contextlib.contextmanager
def _alone(output: str) -> Iterator[None]:
    """Keeps others from writing to a folder of features.

    Where there are no locks, on a bucket, nothing is kept.

    Raises:
      FeaturesError: Another command writes to it.
    """
    name = ".writing"
    with contextlib.ExitStack() as stack:
        try:
            ours = stack.enter_context(claims.claim(epath.Path(output), name))
        except claims.ClaimError:
            ours = True
        if not ours:
            raise FeaturesError(
                f"another launch.extract writes to {output}"
                f" ({claims.owner(epath.Path(output), name)}): wait until it has ended,"
                " or give another --output"
            )
        yield


def extract(f: flags.FlagValues) -> dict[str, Any] | None:
    """Computes what the flags ask for.

    Returns:
      What `features.json` holds; None on all processes but the first.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    local = "://" not in str(f.output)
    alone = jax.process_index() == 0 and local
    with _alone(f.output) if alone else contextlib.nullcontext():
        return _extract(f)


def _extract(f: flags.FlagValues) -> dict[str, Any] | None:
    process, first = jax.process_index(), jax.process_index() == 0
    manifest = read_calls(f.manifest, f.root or None)
    encoder = Encoder(
        f.bundle,
        proj=f.proj,
        norm_stats=f.norm_stats,
        dtype=f.dtype,
        devices=f.devices,
    )

    def bar(files):
        return tqdm.tqdm(files, "reading headers", unit="file", disable=not first)

    extraction = Extraction(
        encoder,
        manifest,
        f.output,
        _settings(f, encoder),
        processes=jax.process_count(),
        progress=bar,
    )
    # All look at what is there before the first changes it.
    runtime.wait_for_all("extract: looked")
    if first:
        extraction.begin()
    runtime.wait_for_all("extract: begun")
    with SoundBar(*extraction.share(process), shown=first) as shown:
        done = extraction.compute(process, shown)
    runtime.wait_for_all("extract: computed")
    if not first:
        return None
    about = {
        "bundle": str(f.bundle),
        "manifest": str(f.manifest),
        "run": {
            "computed": extraction.waiting,
            "first_process": dataclasses.asdict(done),
            "devices": len(encoder.devices),
            "processes": jax.process_count(),
            **runtime.provenance(),
        },
    }
    return extraction.publish(about)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What `features.json` holds as text."""
    run = found["run"]
    clips, computed = found["clips"], run["computed"]
    yield (
        f"{clips:>8,} calls, {found['seconds'] / 60:,.1f} minutes;"
        f" {computed:,} computed now"
    )
    reasons: dict[str, list[str]] = {}
    for item in found["left_out"]:
        reasons.setdefault(item["reason"], []).append(item["id"])
    for reason, names in sorted(reasons.items()):
        yield f"{len(names):>8,} left out: {reason}; {names[0]}"
    for what, told in found["remarks"].items():
        yield f"{told['clips']:>8,} {what}; {told['ids'][0]}"
    done = Done(**run["first_process"])
    if done.elapsed_s and math.isfinite(done.elapsed_s):
        rates = done.rates()
        yield (
            f"{rates['clips_per_s']:,.1f} clips/s, {rates['real_time_factor']:,.1f} x"
            f" real time: {done.elapsed_s:,.1f} s with compiling {done.shapes}"
            f" shapes, of which {done.read_s:,.1f} s waiting for files;"
            f" {done.padding:.0%} padding"
        )


def _refuse(f: flags.FlagValues) -> None:
    """Says which flags were given that mean nothing to a bundle of examples."""
    names = ("root", "normalise", "short", "channel", "ddof", "proj", "norm_stats")
    names += ("dtype", "batch_samples", "devices", "threads")
    given = [f"--{name}" for name in names if f[name].present]
    if given:
        raise BundleError(
            f"{', '.join(given)}: of speech encoders; a bundle of examples reads them"
            " as it was trained on them"
        )


def main(argv: list[str]) -> None:
    """Extracts what the flags name."""
    command.refuse_arguments(argv)
    stopped = "stopped; what was done is kept: run again to go on"
    with command.told(EXPECTED_ERRORS, stopped):
        runtime.start()
        f = flags.FLAGS
        if export.read_info(f.bundle)["model"] in _OF_EXAMPLES:
            _refuse(f)
            print(extract_codes(f.bundle, f.manifest, f.output))
            return
        if flags.FLAGS.norm_stats == "hf":
            print("warning: with --norm_stats=hf features depend on a call's batch")
        found = extract(flags.FLAGS)
    if found is not None:
        print("\n".join(lines(found)))
        print(f"features: {flags.FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
