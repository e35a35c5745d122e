"""Detectors of machine sounds: scores, thresholds, fits, bundles."""

import json
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sigjax
from sigjax.data.audio import AudioError
from sigjax.data.segments import Segments
from sigjax.evals.anomaly.per_section import PerSection
from sigjax.evals.thresholds import conformal
from sigjax.inference.base import BundleError
from sigjax.inference.sounds import waves as sound_waves
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.fit import blocks
from sigjax.inference.sounds.known_machines import (
    KnownSection,
    MachineModel,
    distances_to,
    nearest_known,
)
from sigjax.inference.sounds.network import SoundNetwork
from sigjax.signal.mel import MelConfig, log_mel
from tests.inference import tiny_sounds
from tests.inference.tiny_sounds import CLIP_S, RATE_HZ, SAMPLES, hum


@pytest.fixture(scope="module")
def network():
    return tiny_sounds.classifier()


@pytest.fixture(scope="module")
def pump(network):
    """Knows one machine of one section, a hum of 300 Hz."""
    return tiny_sounds.detector(network)


@pytest.fixture(scope="module")
def several(network):
    """Knows two sections of one machine, and another machine."""
    return tiny_sounds.detector(network, [("fan", "00"), ("fan", "03"), ("pump", "00")])


@pytest.fixture(scope="module")
def autoencoder():
    return tiny_sounds.detector(tiny_sounds.autoencoder())


# --- waves ---


@pytest.mark.parametrize("length", [1, 7, 10, 11, 20, 25, 40])
def test_waves_are_cut_as_an_evaluation_cuts_clips(length):
    wave = np.arange(length, dtype=np.int16)
    dataset = types.SimpleNamespace(
        samples=np.array([length]), read_many=lambda rows: [wave] * len(rows)
    )
    theirs = Segments(dataset, np.array([0]), samples=10, batch_size=8)  # type: ignore
    (batch,) = list(theirs)
    starts = sound_waves.segment_starts(length, 10)
    ours = np.stack([sound_waves.segment(wave, s, 10) for s in starts])
    np.testing.assert_array_equal(batch.wave[batch.weight > 0], ours)


@pytest.mark.parametrize(
    ("waves", "message"),
    [
        ([], "no waves"),
        ([np.zeros(9), np.zeros(0)], "wave 1: holds no samples"),
        ([np.zeros((100, 2))], r"wave 0: shape \[100, 2\].*choose a channel"),
        (np.zeros((100, 2)), "look like samples x channels"),
        ([np.array([0, 0, np.nan, np.inf])], r"wave 0: 2 samples.*first at 0.500 s"),
        ([np.array([0, 12000.0])], "12000 times full scale: divide counts"),
        ([np.zeros(9, np.int32)], "int32: give float32"),
    ],
)
def test_what_is_no_sound_is_named(waves, message):
    with pytest.raises(AudioError, match=message):
        sound_waves.checked(waves, rate_hz=4, samples=10)


def test_silence_clipping_and_short_waves_are_remarked_on():
    loud = np.clip(2 * hum(1.0), -0.25, 1) * 4
    waves = [np.full(SAMPLES, 0.1), loud[:SAMPLES], hum(0.1), hum(CLIP_S)]
    _, remark = sound_waves.checked(waves, rate_hz=RATE_HZ, samples=SAMPLES)
    silent, clipped, short, fine = remark
    assert silent.startswith("silent") and clipped.startswith("clipped: ")
    assert short == "short: 0.10 s, repeated to 0.5 s" and not fine
    counts = (np.clip(loud, -1, 1 - 2**-15) * 32768).astype(np.int16)
    _, (said,) = sound_waves.checked([counts], rate_hz=RATE_HZ, samples=SAMPLES)
    assert said.startswith("clipped: ")


# --- scores ---


def test_a_score_is_that_of_the_back_end(pump, network):
    """A longer wave's embedding is the mean over its segments."""
    wave = hum(1.3 * CLIP_S, seed=5)
    pieces = np.stack([wave[:SAMPLES], wave[-SAMPLES:]])
    out = jax.jit(network.task.embed)(network.variables, pieces)
    mean = np.asarray(out.embedding, np.float64).mean(axis=0)
    model = pump.models["pump"].models.models["pump", "00"]
    scores = pump.score(wave)
    assert scores.score[0] == pytest.approx(model.score(mean[None])[0], rel=1e-4)
    limit = pump.thresholds["pump", "00"].value
    assert scores.threshold[0] == limit
    assert scores.decision[0] == (scores.score[0] > limit)


def test_another_sound_is_an_anomaly_and_the_own_is_none(pump):
    given = [hum(CLIP_S, seed=9, hz=300.0), hum(CLIP_S, seed=9, hz=1300.0)]
    scores = pump.score(given)
    assert scores.decision.tolist() == [0, 1] and scores.decision.dtype == np.int8
    assert scores.machine.tolist() == ["pump", "pump"]
    near = pump.nearest(given)
    assert near.open_set.tolist() == [False, True]
    assert near.distance[0] < near.distance[1]


def test_counts_score_as_the_floats_that_they_mean(pump):
    counts = np.round(hum(CLIP_S) * 20000).astype(np.int16)
    floats = counts.astype(np.float32) / 32768
    assert pump.score(counts).score[0] == pump.score(floats).score[0]


def test_what_was_embedded_once_is_scored_and_placed(several):
    waves = [hum(CLIP_S, seed=7, hz=hz) for hz in (300.0, 600.0, 900.0)]
    said = several.embed(waves)
    again = several.score(said, machine="fan", section="00")
    expected = several.score(waves, machine="fan", section="00")
    np.testing.assert_array_equal(again.score, expected.score)
    near = several.nearest(said)
    assert list(zip(near.machine, near.section, strict=True)) == [
        ("fan", "00"), ("fan", "03"), ("pump", "00")
    ]  # fmt: skip


def test_a_machine_must_be_named_and_known(several):
    wave = hum(CLIP_S)
    with pytest.raises(BundleError, match="name one.*fan, pump"):
        several.score(wave)
    with pytest.raises(BundleError, match="'valve' is not known.*fan, pump.*fit"):
        several.score(wave, machine="valve")


def test_an_unknown_section_is_scored_as_the_nearest(several):
    wave = hum(CLIP_S, seed=7, hz=600.0)
    own = [several.score(wave, machine="fan", section=s).score[0] for s in ("00", "03")]
    assert own[0] > 2 * own[1]
    for section, said in (("07", "section 07 is unknown"), (None, "no section is")):
        scores = several.score(wave, machine="fan", section=section)
        assert scores.score[0] == min(own) == own[1]
        assert scores.section.tolist() == ["03"]
        assert scores.threshold[0] == several.thresholds["fan", "03"].value
        assert scores.remark[0].startswith(said) and "nearest, 03" in scores.remark[0]
    # The machine's only section needs no name.
    assert several.score(wave, machine="pump").remark == ("",)


def test_a_back_end_of_all_sections_scores_any_of_them(network):
    pump = tiny_sounds.detector(network)
    known = pump.sections["pump", "00"]
    said = network.embed([hum(CLIP_S, seed=s) for s in range(4)])
    fitted = PerSection("knn", scope="machine").fit(
        said.bank("pump", "00", space="embedding")
    )
    model = MachineModel(fitted, "embedding")
    whole = SoundDetector(network, [known], {"pump": model}, {})
    scores = whole.score(hum(CLIP_S, seed=0), section="05")
    assert scores.score[0] == pytest.approx(0, abs=1e-6)
    assert scores.threshold[0] == known.threshold.value
    assert "highest threshold" in scores.remark[0]
    assert whole.anomaly_map(hum(CLIP_S), steps=1).value.shape == (32, 16)


def test_a_section_without_a_back_end_is_refused(network, pump):
    known = list(pump.sections.values())
    with pytest.raises(BundleError, match=r"none for \['pump/00'\]"):
        SoundDetector(network, known, {}, {})


# --- nearest ---


def section(name, rows, apart):
    return KnownSection(
        machine=name,
        section="00",
        threshold=conformal(np.arange(20.0), 0.1),
        held_out=np.zeros(1),
        false_alarms_per_day=1.0,
        hop_s=1.0,
        clips=1,
        reference=np.asarray(rows, np.float32),
        apart=np.asarray(apart, np.float64),
        level=np.zeros(1, np.float32),
    )


def nearest(x, sections, kinds=None):
    distance = [distances_to(s, np.asarray(x), "euclidean") for s in sections]
    kinds = kinds or ["embedding"] * len(sections)
    return nearest_known(np.stack(distance, axis=1), sections, kinds)


def test_the_open_set_is_what_lies_beyond_a_section_s_own_clips():
    tight = section("a", [[0, 0], [1, 0]], np.linspace(0.01, 1, 100))
    wide = section("b", [[100, 0]], np.linspace(0.1, 10, 100))
    x = np.array([[0, 0.9], [0, 1.1], [100, 9], [100, 11], [np.nan, 0]])
    near = nearest(x, [tight, wide])
    assert near.machine[:4].tolist() == ["a", "a", "b", "b"]
    # One of twenty of its own clips may be called unknown: 0.96 and 9.6.
    assert near.open_set.tolist() == [False, True, False, True, True]
    expected = np.divide([0.9, 1.1, 9, 11], [0.96, 0.96, 9.6, 9.6])
    np.testing.assert_allclose(near.distance[:4], expected, rtol=1e-6)


def test_nearest_is_in_units_of_each_section_s_own_distances():
    """Half way between them in space, it is nearer to the wider one."""
    tight = section("a", [[0, 0]], np.linspace(0.01, 1, 100))
    wide = section("b", [[20, 0]], np.linspace(0.1, 10, 100))
    assert nearest(np.array([[9.0, 0]]), [tight, wide]).machine[0] == "b"


def test_a_section_of_few_clips_borrows_the_others_limit():
    few = section("a", [[0, 0]], [np.nan])
    many = section("b", [[100, 0]], np.linspace(0.1, 10, 100))
    x = np.array([[0, 9], [0, 11]])
    near = nearest(x, [few, many])
    assert near.open_set.tolist() == [False, True]
    # But none of another kind, whose distances mean something else.
    near = nearest(x, [few, many], ["spectrum", "embedding"])
    assert near.machine.tolist() == ["b", "b"] and near.open_set.all()
    assert nearest(np.zeros((1, 2)), [few]).open_set.tolist() == [False]


# --- fit ---


def test_held_out_scores_are_of_back_ends_that_saw_no_neighbour(pump, network):
    """Twelve windows are ten blocks in the order of time."""
    wave = hum(12 * CLIP_S, seed=0, hz=300.0)
    said = network.embed(list(wave.reshape(12, SAMPLES)))
    bank = said.bank("pump", "00", "source", space="embedding")
    block = np.arange(12) * 10 // 12
    expected = [
        PerSection("knn").fit(bank.take(block != block[i])).score(
            bank.take(np.array([i]))
        ).score[0]
        for i in range(12)
    ]  # fmt: skip
    np.testing.assert_allclose(pump.held_out("pump", "00"), expected, atol=1e-7)
    assert pump.clips_seen["pump", "00"] == 12
    with pytest.raises(BundleError, match="pump/01 is not known; there are pump/00"):
        pump.held_out("pump", "01")


def test_recordings_are_held_out_whole_where_there_are_some():
    four = np.repeat([0, 1, 2, 3], [3, 1, 2, 4])
    assert blocks(four).tolist() == four.tolist()
    many = blocks(np.arange(25) // 2 * 2)  # thirteen
    assert many.max() == 9 and (np.diff(many) >= 0).all()
    assert (many[:24:2] == many[1::2]).all()
    few = blocks(np.repeat([0, 1], [15, 5]))
    assert few.tolist() == (np.arange(20) // 2).tolist()


def test_too_little_sound_promises_what_it_can(pump):
    wave = hum(9 * CLIP_S + 0.2, seed=3)
    day = 86400 / CLIP_S
    found = pump.fit(wave, machine="saw", false_alarms_per_day=1.0)
    threshold = found.thresholds["saw", "00"]
    assert threshold.clips == 9 and threshold.false_alarm_rate == pytest.approx(0.1)
    assert threshold.value == found.held_out("saw", "00").max()
    assert f"need {day - 1:,.0f} normal clips (1,440 minutes)" in threshold.remark
    assert "these 9 promise 17,300" in threshold.remark
    # Enough for this rate, and no remark.
    enough = pump.fit(wave, machine="saw", false_alarms_per_day=0.2 * day)
    assert enough.thresholds["saw", "00"].remark == ""
    facts = found.sections["saw", "00"].facts
    assert facts["left_out_s"] == {"ends of recordings": pytest.approx(0.2)}
    assert facts["minutes_needed"] == pytest.approx(1440, rel=1e-4)


def test_a_fit_leaves_silence_out_and_needs_something(pump):
    silence = np.zeros(3 * SAMPLES, np.float32)
    with pytest.raises(BundleError, match=r"saw: 1 clips.*1.5 s silent.*60 minutes"):
        pump.fit([silence, hum(CLIP_S)], machine="saw")
    found = pump.fit([silence, hum(4 * CLIP_S)], machine="saw")
    assert found.clips_seen["saw", "00"] == 4
    with pytest.raises(AudioError, match="wave 1: 1 samples"):
        pump.fit([hum(1.0), np.array([0.1, np.nan])], machine="saw")


def test_a_fit_keeps_what_was_known_and_the_detector_itself(pump):
    found = pump.fit(hum(6 * CLIP_S, hz=900.0), machine="saw", section="02")
    assert found.machines == (("pump", "00"), ("saw", "02"))
    assert pump.machines == (("pump", "00"),)
    wave = hum(CLIP_S, seed=4)
    np.testing.assert_array_equal(
        found.score(wave, machine="pump").score, pump.score(wave).score
    )
    assert found.only("saw").machines == (("saw", "02"),)
    more = found.fit(hum(6 * CLIP_S, hz=500.0), machine="saw", section="05")
    assert more.machines[1:] == (("saw", "02"), ("saw", "05"))
    with pytest.raises(BundleError, match="saw has sections scored by.*does not comp"):
        found.fit(hum(6 * CLIP_S), machine="saw", section="05", backend="mahalanobis")


def test_domains_reach_the_back_end(pump):
    waves = [hum(4 * CLIP_S, hz=300.0), hum(2 * CLIP_S, hz=900.0)]
    found = pump.fit(waves, machine="saw", domain=["source", "target"])
    (model,) = found.models["saw"].models.models.values()
    assert model.state()["group"].tolist() == ["source", "target"]
    assert model.state()["bank_group"].tolist().count("target") == 2
    high = hum(CLIP_S, seed=2, hz=900.0)
    assert found.score(high, machine="saw").decision[0] == 0
    # Machines that are remembered in two ways.
    near = found.nearest([high, hum(CLIP_S, seed=2, hz=300.0)])
    assert near.machine[0] == "saw"
    with pytest.raises(BundleError, match="1 domains for 2 recordings"):
        pump.fit(waves, machine="saw", domain=["source"])


def test_an_unknown_back_end_is_named(pump):
    with pytest.raises(BundleError, match="no back-end 'knnn': there are"):
        pump.fit(hum(4 * CLIP_S), machine="saw", backend="knnn")


def test_a_fit_remembers_log_mel_statistics_unless_asked_otherwise(pump):
    """Nearest window by mean and standard deviation of 64 bands, standardised."""
    normal, new = hum(8 * CLIP_S, hz=700.0), hum(CLIP_S, seed=6, hz=800.0)
    found = pump.fit(normal, machine="saw")
    mel = MelConfig(rate_hz=RATE_HZ, n_mels=64)

    def statistics(waves):
        x = np.asarray(log_mel(jnp.asarray(waves), mel))
        return np.concatenate([x.mean(axis=1), x.std(axis=1)], axis=1)

    bank, asked = statistics(normal.reshape(8, SAMPLES)), statistics(new[None])

    def scale(rows):
        return np.maximum(rows.std(axis=0), 0.1 * np.median(rows.std(axis=0)))

    expected = np.linalg.norm((bank - asked) / scale(bank), axis=1).min()
    assert found.score(new, machine="saw").score[0] == pytest.approx(expected, rel=1e-4)
    # The first block is held out of the scale, too.
    assert found.held_out("saw", "00")[0] == pytest.approx(
        np.linalg.norm((bank[1:] - bank[0]) / scale(bank[1:]), axis=1).min(), rel=1e-4
    )
    # Another section has the scale of the first.
    more = found.fit(hum(8 * CLIP_S, hz=500.0), machine="saw", section="05")
    assert (
        more.score(new, machine="saw", section="00").score[0]
        == (found.score(new, machine="saw").score[0])
    )
    other = pump.fit(normal, machine="saw", features="network")
    assert other.score(new, machine="saw").score[0] < 1  # 1 - cos
    with pytest.raises(BundleError, match="features must be spectrum or network"):
        pump.fit(normal, machine="saw", features="mel")  # type: ignore
    with pytest.raises(BundleError, match="on the spectrum; one by.*on the embedding"):
        found.fit(normal, machine="saw", section="05", features="network")


@pytest.mark.parametrize("backend", ["knn", "selective_mahalanobis"])
def test_an_autoencoder_is_fitted_on_its_residuals(autoencoder, backend):
    wave = hum(12 * CLIP_S, hz=300.0)
    day = 86400 / CLIP_S
    found = autoencoder.fit(
        wave,
        machine="saw",
        backend=backend,
        features="network",
        false_alarms_per_day=day / 10,
    )
    given = [hum(CLIP_S, seed=9, hz=300.0), hum(CLIP_S, seed=9, hz=1300.0)]
    scores = found.score(given, machine="saw")
    if backend == "knn":
        assert scores.decision.tolist() == [0, 1]
    else:
        (model,) = found.models["saw"].models.models.values()
        residual = autoencoder.network.residuals(np.stack(given)).reshape(2, -1, 16)
        np.testing.assert_allclose(scores.score, model.score(residual), rtol=1e-5)
    assert found.nearest(given).open_set.tolist() == [False, True]
    settings = found.models["saw"].models.description()["backend"]
    assert settings["name"] == backend
    assert settings.get("metric", "euclidean") == "euclidean"


def test_thresholds_for_other_alarms_are_of_the_same_scores(pump):
    day = 86400 / CLIP_S
    found = pump.with_alarms(false_alarms_per_day=day / 4)
    held_out = pump.held_out("pump", "00")
    assert found.thresholds["pump", "00"].value == conformal(held_out, 0.25).value
    assert found.false_alarms_per_day["pump", "00"] == day / 4
    # The same alarms of half as many clips are twice the share of them.
    key = "pump", "00"
    seldom = pump.with_alarms(hop_s=2 * CLIP_S)
    assert seldom.hop_s[key] == 2 * CLIP_S
    assert seldom.thresholds[key].value == conformal(held_out, 0.4).value


# --- bundles ---


@pytest.mark.parametrize("kind", ["classifier", "autoencoder"])
def test_a_bundle_scores_bit_for_bit_alike(kind, several, autoencoder, tmp_path):
    made = several if kind == "classifier" else autoencoder
    made.save(tmp_path / "b")
    read = sigjax.load(tmp_path / "b")
    assert isinstance(read, SoundDetector)
    machine = made.machines[0][0]
    waves = [hum(CLIP_S, seed=8), hum(2.4 * CLIP_S, seed=9), hum(0.1, seed=7)]
    for section in ("00", "09"):
        ours, theirs = (
            d.score(waves, machine=machine, section=section) for d in (made, read)
        )
        np.testing.assert_array_equal(ours.score, theirs.score)
        np.testing.assert_array_equal(ours.threshold, theirs.threshold)
        assert ours.remark == theirs.remark
    np.testing.assert_array_equal(
        made.nearest(waves).distance, read.nearest(waves).distance
    )
    assert read.thresholds == made.thresholds and read.machines == made.machines
    assert json.loads(json.dumps(read.info)) == json.loads(json.dumps(made.info))
    again = read.fit(hum(6 * CLIP_S), machine="saw")
    expected = made.fit(hum(6 * CLIP_S), machine="saw")
    again.save(tmp_path / "c")
    again = sigjax.load(tmp_path / "c")
    ours, theirs = (d.score(waves, machine="saw") for d in (expected, again))
    np.testing.assert_array_equal(ours.score, theirs.score)
    np.testing.assert_array_equal(
        again.held_out("saw", "00"), expected.held_out("saw", "00")
    )


def test_a_bundle_says_what_it_is(pump, tmp_path):
    info = dict(pump.info, simulated=True, source_run={"step": 7})
    sections = list(pump.sections.values())
    made = SoundDetector(pump.network, sections, pump.models, info)
    assert "SIMULATED" in repr(made)
    made.save(tmp_path)
    made.save(tmp_path)  # replaces
    info = json.loads((tmp_path / "bundle.json").read_text())
    assert info["simulated"] is True and info["source_run"] == {"step": 7}
    assert info["format"] == 2 and info["model"] == "sound_detector"
    (machine,) = info["machines"]
    assert machine["backend"]["name"] == "knn"
    assert machine["sections"][0]["threshold"]["method"] == "conformal"


def test_a_bundle_that_cannot_be_written_leaves_the_one_before(
    pump, tmp_path, monkeypatch
):
    pump.save(tmp_path / "b")
    (tmp_path / "b" / "notes.txt").write_text("mine")

    def full(*_, **__):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full)
        with pytest.raises(BundleError, match="cannot write the bundle.*No space"):
            pump.save(tmp_path / "b")
    assert sigjax.load(tmp_path / "b").machines == pump.machines
    pump.save(tmp_path / "b")  # what was left of the attempt is no hindrance
    assert sigjax.load(tmp_path / "b").machines == pump.machines
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]
    assert (tmp_path / "b" / "notes.txt").read_text() == "mine"


def test_branches_are_described_whole():
    """Their loss's head is rebuilt for the classes that it was trained on."""
    made = tiny_sounds.branches()
    info = json.loads(json.dumps(made.describe()))
    again = SoundNetwork.restore(info, made.variables)
    assert again.task.classes == 2 and again.task.config == made.task.config
    assert again.task.model_config == made.task.model_config
    info["task"]["loss"] = "hinge"
    with pytest.raises(BundleError, match="task.loss.*hinge"):
        SoundNetwork.restore(info, made.variables)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("bundle.json", "no bundle"),
        ("files.json", "files.json cannot be read"),
        ("detector/arrays.npz", "detector/arrays.npz is missing"),
        ("params/_METADATA", "params/_METADATA is missing"),
    ],
)
def test_a_missing_part_is_named(pump, tmp_path, part, message):
    pump.save(tmp_path / "b")
    (tmp_path / "b" / part).unlink()
    with pytest.raises(BundleError, match=message):
        sigjax.load(tmp_path / "b")


def test_a_damaged_part_is_named(pump, tmp_path):
    pump.save(tmp_path / "b")
    for part in ("detector/arrays.npz", "state/manifest.ocdbt"):
        copy = tmp_path / part.replace("/", "-")
        shutil.copytree(tmp_path / "b", copy)
        data = bytearray((copy / part).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / part).write_bytes(data)
        with pytest.raises(BundleError, match=f"{part} does not match its checksum"):
            sigjax.load(copy)


def test_an_entry_that_is_missing_is_named(pump, tmp_path):
    pump.save(tmp_path)
    info = json.loads((tmp_path / "bundle.json").read_text())
    del info["machines"][0]["sections"][0]["threshold"]
    (tmp_path / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(BundleError, match="lacks 'threshold'"):
        sigjax.load(tmp_path)
