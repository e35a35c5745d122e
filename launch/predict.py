r"""Recordings in, an answer out: activities of a wrist, anomalies of a machine, events.

    python -m launch.predict FILE FOLDER ... --bundle=BUNDLE --output=predictions
    arecord -f S16_LE -r 16000 -c 1 -t raw | python -m launch.predict - --bundle=BUNDLE

What comes out is the bundle's matter. Files may be packed or not; folders are searched
with all that is below them.

A classifier of launch.finetune takes device files. For each recording NAME.csv (or
.parquet) has a row per label window: time, label, its probability and those of all
classes, and whether the device was worn; NAME.png is the same day by day, and NAME.json
says where it comes from and how it was prepared. A device that is not worn has no
activity: such rows have no label. Times are the device's clock. Files are prepared as
the training data of the bundle were; see --calibration and --nonwear_min.

A detector of launch.export or launch.fit_sounds takes WAV, FLAC and OGG files of a
machine, of any rate and length; see --machine. NAME.csv has a row per window: when,
score, threshold, decision, whether there is an alarm, whether scores drift, which known
machine sounds nearest, and what is wrong with the sound, if anything. NAME.png shows
scores over the spectrogram, and where in time and frequency the most anomalous window
is anomalous.

A recogniser of audio events (launch.finetune, or launch.convert of a network with a
head) takes WAV, FLAC and OGG files of any rate and length: clips by the thousand or
hours. NAME.csv has a row per window with the likeliest class and the probabilities of
all, NAME_events.csv a row per event, from when to when; NAME.png shows both over the
spectrogram. See --hop_s, --event_threshold and --top.

A segmenter of sound (launch.finetune of configs/segmentation.py) takes the same files.
NAME.csv has a row per event: onset, offset, class and score; NAME.png shows the scores
of frames over the spectrogram. See --event_threshold, --hop_s and --top.

An autoencoder of launch.export takes what it was trained on: sounds, device files, or
an .npz with x. NAME.csv has a row per window (or example) with its score, higher is
odder; NAME_codes.npz the codes; NAME_denoised.wav or .npz the signal that one which was
trained to denoise makes of it, windows overlapped and added; NAME.png usual and odd
ones beside their reconstructions. See --overlap; it is a half unless given.

A classifier of examples (launch.finetune of configs/code_classifier.py) takes the same.
NAME.csv has a row per window (or example) with the likeliest class and the
probabilities of all; summary.csv the class of each file, by the mean over its rows. See
--overlap. A generator of launch.export takes no files: sigjax.load(BUNDLE).sample(16).

All leave summary.csv, a row per recording (and day), and report.json, which says what
became of every file. A file that cannot be read costs that file alone and is reported.
Run again, the command leaves alone what it has done with the same bundle and settings.

With `-` for a file, a detector listens to raw samples on standard input, such as a
microphone's, and prints a row of CSV every --hop_s seconds; see --rate_hz, --encoding
and --channels. Alarms and troubles are said on standard error. Of another format, or of
a camera:

    ffmpeg -loglevel error -i SOURCE -f s16le -ar 16000 -ac 1 - | python -m \
        launch.predict - --bundle=BUNDLE
"""

import sys
from collections.abc import Sequence
from typing import Any

import jax
from absl import app, flags

from launch import command, runtime
from launch.audio_events import prediction as event_prediction
from launch.audio_events import settings as event_settings
from launch.autoencoders import classification as example_classification
from launch.autoencoders import use as example_use
from launch.segmentation import prediction as segment_prediction
from launch.sounds import prediction as sound_prediction
from launch.sounds import settings as sound_settings
from launch.sounds import stream as sound_stream
from launch.wrist import prepare_flags
from launch.wrist.prediction import Settings, predict_files, table
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.wearable import calibration, names
from sigjax.inference.audio_events import AudioEventsModel
from sigjax.inference.autoencoder import AutoencoderModel
from sigjax.inference.base import BundleError
from sigjax.inference.code_classifier import CodeClassifierModel
from sigjax.inference.segmentation import SegmenterModel
from sigjax.inference.speech_encoder import SpeechEncoderModel
from sigjax.train.checkpoint import CheckpointError
from sigjax.train.writer import WorkdirError

EXPECTED_ERRORS = (
    BundleError,
    CheckpointError,
    ConfigError,
    FileNotFoundError,
    ValueError,
    WorkdirError,
)
_WEARABLE = ("overlap", "calibration", "nonwear_min", "tz", "csv", "person_regex")


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string(
        "bundle", None, "Bundle of launch.finetune, launch.export or launch.fit_sounds."
    )
    flags.DEFINE_string("output", "predictions", "Folder of the results.")
    flags.DEFINE_enum("format", "csv", ["csv", "parquet"], "Of the rows.")
    flags.DEFINE_integer(
        "batch_size", 0, "Windows at a time; 0 chooses by device.", lower_bound=0
    )
    flags.DEFINE_bool("overwrite", False, "Predict again what is there already.")
    flags.DEFINE_float(
        "overlap",
        0.0,
        "Of devices. Share of a window that the next one covers too; the probabilities"
        " of those that cover the same time are averaged. 0.9 takes ten times as long.",
        lower_bound=0.0,
        upper_bound=0.99,
    )
    flags.DEFINE_enum(
        "calibration",
        None,
        calibration.METHODS,
        "Of devices. How to calibrate. Default: as the training data were, or van_hees"
        " where those came calibrated.",
    )
    flags.DEFINE_float(
        "nonwear_min",
        None,
        "Of devices. Stationary periods of more minutes are non-wear. Default: as for"
        " the training data, or 90 where those were not looked at.",
        lower_bound=0.0,
    )
    prepare_flags.define_reading()
    sound_settings.define_flags()
    sound_stream.define_flags()
    event_settings.define_flags()
    for module in (prepare_flags, sound_settings, sound_stream, event_settings):
        flags.adopt_module_key_flags(module)  # Else --help leaves them out.
    flags.mark_flag_as_required("bundle")


def _wearable_settings() -> Settings:
    given = flags.FLAGS
    changes = {
        name: given[name].value
        for name in ("calibration", "nonwear_min")
        if given[name].value is not None
    }
    return Settings(
        format=given.format,
        overlap=given.overlap,
        options=prepare_flags.options(),
        person_regex=names.checked_regex(given.person_regex),
        changes=changes,
    )


def _refuse(names: Sequence[str], why: str) -> None:
    """Says which flags were given that mean nothing here."""
    given = [f"--{name}" for name in names if flags.FLAGS[name].present]
    if given:
        raise ValueError(f"{', '.join(given)}: {why}")


def _run(inputs: Sequence[str]) -> dict[str, Any]:
    """The report, with `text` for people."""
    given = flags.FLAGS
    where = {"batch_size": given.batch_size or None, "overwrite": given.overwrite}
    kind = export.MODELS[export.read_info(given.bundle)["model"]]
    if kind is None:
        raise ValueError(
            f"{given.bundle} is a detector of rows and windows, not of files:"
            " sigjax.load(BUNDLE).predict(array)"
        )
    if kind is AudioEventsModel:
        return _run_events(inputs, where, event_prediction)
    if kind is SegmenterModel:
        return _run_events(inputs, where, segment_prediction)
    if kind is AutoencoderModel:
        return _run_examples(inputs, example_use, "an autoencoder", 0.5)
    if kind is CodeClassifierModel:
        own = example_classification
        return _run_examples(inputs, own, "a classifier of examples", 0.0)
    example_use.refuse_generator(kind, given.bundle)
    if kind is SpeechEncoderModel:
        raise ValueError(
            f"{given.bundle} is a speech encoder, which recognises nothing by itself:"
            " launch.extract gives its features"
        )
    _refuse(event_settings.OWN_FLAGS, "for audio events, and the bundle is of none")
    if kind is not export.SoundDetector:
        only = "for a bundle of machine sounds, and this is none"
        _refuse((*sound_settings.FLAGS, *sound_stream.FLAGS), only)
        settings = _wearable_settings()
        report = predict_files(inputs, given.bundle, given.output, settings, **where)
        return {**report, "text": table(report)}
    _refuse(_WEARABLE, "for wrist-worn devices, and the bundle is of machine sounds")
    _refuse(sound_stream.FLAGS, "for standard input: give - instead of a file")
    report = sound_prediction.predict_files(
        inputs, given.bundle, given.output, sound_settings.settings(), **where
    )
    return {**report, "text": sound_prediction.table(report)}


def _run_events(
    inputs: Sequence[str], where: dict[str, Any], prediction: Any
) -> dict[str, Any]:
    _refuse(_WEARABLE, "for wrist-worn devices, and the bundle is of audio events")
    shared = event_settings.SHARED_FLAGS
    only = tuple(name for name in sound_settings.FLAGS if name not in shared)
    _refuse(only, "for machine sounds, and the bundle is of audio events")
    _refuse(sound_stream.FLAGS, "for machine sounds on standard input")
    given = flags.FLAGS
    report = prediction.predict_files(
        inputs, given.bundle, given.output, event_settings.settings(), **where
    )
    return {**report, "text": prediction.table(report)}


def _run_examples(
    inputs: Sequence[str], prediction: Any, what: str, overlap: float
) -> dict[str, Any]:
    """The report on examples; `overlap` is that of windows unless another is given."""
    given = flags.FLAGS
    others = (*event_settings.OWN_FLAGS, *sound_settings.FLAGS, *sound_stream.FLAGS)
    only = [name for name in (*_WEARABLE, "format") if name != "overlap"]
    why = f"the bundle is of {what}, which reads files as it was trained on them"
    _refuse((*dict.fromkeys(others), *only), why)
    return prediction.predict_files(
        inputs,
        given.bundle,
        given.output,
        overlap=given.overlap if given["overlap"].present else overlap,
        batch_size=given.batch_size or None,
    )


def _listen() -> int:
    """Exit status of a detector on standard input."""
    given = flags.FLAGS
    _refuse(_WEARABLE, "for wrist-worn devices, not for standard input")
    _refuse(
        ("output", "format", "batch_size", "overwrite", *sound_settings.FILE_FLAGS),
        "for files; rows of standard input go to standard output, as CSV",
    )
    return sound_stream.listen(
        given.bundle, sound_settings.settings(), sound_stream.settings()
    )


def main(argv: list[str]) -> None:
    """Predicts what the arguments name."""
    inputs = argv[1:]
    if not inputs:
        raise app.UsageError("name at least one file or folder, or - to listen")
    if "-" in inputs and len(inputs) > 1:
        raise app.UsageError("- is standard input: it goes without files")
    runtime.start()
    if jax.process_index():
        return
    stopped = "stopped; what was done is kept: run again to continue"
    with command.told(EXPECTED_ERRORS, stopped):
        if inputs == ["-"]:
            sys.exit(_listen())
        report = _run(inputs)
    print(report["text"])
    if report["used"]:
        print(f"\nresults: {flags.FLAGS.output.rstrip('/')}/summary.csv")
    else:
        sys.exit("error: no recording could be predicted")


if __name__ == "__main__":
    define_flags()
    app.run(main)
