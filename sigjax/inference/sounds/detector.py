"""A detector of anomalous machine sounds out of its bundle.

    detector = sigjax.load("bundles/pump")
    scores = detector.score([wave])              # float32 [s] at detector.rate_hz
    detector = detector.fit([normal], machine="pump7")    # no training
    where = detector.anomaly_map(wave, machine="pump7")

A network says something of a sound (an embedding, class scores, or what it could not
reconstruct), and for each machine a back-end of `sigjax.evals.anomaly` that was fitted
on normal sound turns this into a score. Above the machine's threshold it is an anomaly.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epath

from sigjax.evals.thresholds import Threshold
from sigjax.inference.base import FORMAT, BundleError
from sigjax.inference.sounds import bundle as sound_bundle
from sigjax.inference.sounds import fit as sound_fit
from sigjax.inference.sounds import map as sound_map
from sigjax.inference.sounds.known_machines import (
    KnownSection,
    MachineModel,
    Nearest,
    check,
    distances_to,
    nearest_known,
    pack,
    unpack,
)
from sigjax.inference.sounds.map import AnomalyMap
from sigjax.inference.sounds.network import Embedded, SoundNetwork
from sigjax.inference.sounds.scores import SoundScores, joined, unnamed
from sigjax.inference.sounds.waves import Waves
from sigjax.version import VERSION

__all__ = [
    "AnomalyMap",
    "Embedded",
    "Nearest",
    "SoundDetector",
    "SoundScores",
    "Waves",
]

# A name that no section has: the back-ends then answer for the nearest.
_NO_SECTION = "\0"


class SoundDetector:
    """A network with a back-end and a threshold for each machine that it knows.

    Attributes:
      network: What runs on waves.
      sections: What is kept of each known section.
      models: By machine, what scores its clips.
      info: The whole of `bundle.json`.
      rate_hz: Sampling rate of waves.
      clip_s: What the network sees at once, seconds. Longer waves are cut into segments
        whose embeddings are averaged, shorter ones are repeated.
      machines: Machine and section of each that it knows.
      clips_seen: By machine and section: normal clips that its back-end was fitted on.
      thresholds: By machine and section.
      false_alarms_per_day: By machine and section: what its threshold was asked for.
      hop_s: By machine and section: the seconds between scored clips that this is for.
      simulated: Whether the network was trained on simulated sound.
    """

    def __init__(
        self,
        network: SoundNetwork,
        sections: Sequence[KnownSection],
        models: Mapping[str, MachineModel],
        info: Mapping[str, Any],
    ):
        """Puts the parts together; `launch.export` and `sigjax.load` do.

        Args:
          network: A trained one.
          sections: Those that are known, of machines in `models`.
          models: By machine.
          info: `simulated`, `source_run` and what else a bundle is to say; what follows
            from the other parts is made of them.

        Raises:
          BundleError: The parts do not fit together.
        """
        self.network, self.models = network, dict(sorted(models.items()))
        self.sections = {s.key: s for s in sorted(sections, key=lambda s: s.key)}
        check(self.sections, self.models)
        self.simulated = bool(info.get("simulated"))
        self.rate_hz, self.clip_s = network.rate_hz, network.clip_s
        self.machines = tuple(self.sections)
        each = self.sections.items()
        self.clips_seen = {key: known.clips for key, known in each}
        self.thresholds: Mapping[tuple[str, str], Threshold] = {
            key: known.threshold for key, known in each
        }
        self.false_alarms_per_day = {k: s.false_alarms_per_day for k, s in each}
        self.hop_s = {key: known.hop_s for key, known in each}
        self.info = {**info, **self._described()}

    def __repr__(self) -> str:
        """One line: what goes in and what it knows."""
        known = ", ".join(self._names()[:8])
        more = len(self.models) - 8
        return (
            f"SoundDetector({'SIMULATED training data; ' if self.simulated else ''}"
            f"score: waves at {self.rate_hz} Hz, {self.clip_s:g} s at once -> score,"
            f" threshold, decision; {len(self.machines)} sections of {known}"
            f"{f' and {more} more' if more > 0 else ''})"
        )

    def embed(self, waves: Waves) -> Embedded:
        """Runs the network.

        Args:
          waves: Float32 `[n s]` in units of full scale at `rate_hz`, or int16 counts;
            or a sequence of `[s]` of any lengths; or one `[s]`.

        Raises:
          sigjax.data.audio.AudioError: Naming the wave, where it is empty, has several
            channels, or samples that are NaN or infinite.
        """
        also = {machine.space for machine in self.models.values()}
        for machine in self.models.values():
            for model in machine.models.models.values():
                also |= set(model.reads)
        return self.network.embed(waves, also=also)

    def score(
        self,
        waves: Waves | Embedded,
        *,
        machine: str | None = None,
        section: str | None = None,
        domain: str | None = None,
    ) -> SoundScores:
        """Scores waves, each as one clip.

        Args:
          waves: See `embed`.
          machine: Which machine they are of; not needed where only one is known.
          section: Which of its sections; not needed where it has one. Of a section that
            is not known, the score is the least by the machine's sections, that of the
            nearest, and the remark says so.
          domain: `"source"`, `"target"`, or None if that is not known.

        Raises:
          BundleError: The machine is not known, or several are and none is named.
          sigjax.data.audio.AudioError: See `embed`.
        """
        machine = self._machine(machine)
        own = [s for m, s in self.machines if m == machine]
        if section is None and len(own) == 1:
            section = own[0]
        said = waves if isinstance(waves, Embedded) else self.embed(waves)
        models, space, scaling = self.models[machine]
        asked = section if section in own else _NO_SECTION
        bank = said.bank(machine, asked, domain, space=space, scaling=scaling)
        found = models.score(bank)
        nearest = found.section if asked == _NO_SECTION else np.full(len(said), asked)
        limits = [self._threshold(machine, str(name)) for name in nearest]
        limit = np.array([t.value for t in limits], np.float64)
        remark = said.remark
        if asked == _NO_SECTION:
            remark = tuple(
                joined(text, unnamed(section, str(name)))
                for text, name in zip(remark, nearest, strict=True)
            )
        decision = np.where(np.isnan(found.score), -1, found.score > limit)
        return SoundScores(
            score=found.score,
            threshold=limit,
            decision=decision.astype(np.int8),
            machine=np.full(len(said), machine),
            section=nearest,
            remark=remark,
        )

    def nearest(self, waves: Waves | Embedded) -> Nearest:
        """Which known machine each wave sounds most like, and whether like none."""
        said = waves if isinstance(waves, Embedded) else self.embed(waves)
        known, columns = list(self.sections.values()), []
        for section in known:
            rows, metric = self.models[section.machine].place(said, self.network)
            columns.append(distances_to(section, rows, metric))
        kinds = [self.models[section.machine].space for section in known]
        return nearest_known(np.stack(columns, axis=1), known, kinds)

    def anomaly_map(
        self,
        wave: np.ndarray,
        *,
        machine: str | None = None,
        section: str | None = None,
        domain: str | None = None,
        steps: int = 32,
        smooth: float = 1.0,
    ) -> AnomalyMap:
        """Where in time and frequency the score of one wave comes from.

        Args:
          wave: `[s]`, see `embed`.
          machine: See `score`.
          section: See `score`.
          domain: See `score`.
          steps: Of the integral from the baseline to the wave.
          smooth: Standard deviation of a Gaussian over frames and bands; 0 for none.
            It moves values to neighbours and keeps their sum.
        """
        scores = self.score(wave, machine=machine, section=section, domain=domain)
        if len(scores.score) != 1:
            raise BundleError(f"a map is of one wave, got {len(scores.score)}")
        name = str(scores.machine[0]), str(scores.section[0])
        known = self.sections.get(name) or self._any_section(name[0])
        found = sound_map.anomaly_map(
            self.network,
            np.asarray(wave).reshape(-1),
            known=known,
            model=self.models[name[0]],
            domain=domain or "",
            steps=steps,
            smooth=smooth,
        )
        return found._replace(section=name[1], score=float(scores.score[0]))

    def fit(
        self,
        waves: Waves,
        *,
        machine: str,
        section: str = "00",
        domain: str | Sequence[str] = "source",
        backend: str | Mapping[str, Any] = "knn",
        features: Literal["spectrum", "network"] = "spectrum",
        false_alarms_per_day: float = 24.0,
        hop_s: float | None = None,
    ) -> "SoundDetector":
        """A detector that also knows another machine; nothing is trained.

        The recordings are cut into clips that do not overlap. The threshold comes from
        scores of clips by a back-end that was fitted without them and their neighbours
        in time. With too little sound for the false alarms that were asked for, it is
        the best that this sound can promise, and the threshold's remark says both.

        Args:
          waves: Normal sound, any number of recordings of any length.
          machine: Its name. A section that is known already is replaced.
          section: Which one of its kind.
          domain: Of all recordings, or of each.
          backend: Name of a back-end, or a mapping of its name and settings.
          features: What it remembers: `"network"` what the network says, which is of
            use where the network has learned from sounds like these; `"spectrum"` mean
            and standard deviation of log-mel bands, which nobody learned, and which is
            the safer choice for a machine that no network has heard. A back-end that
            reads class scores or residuals has the network's.
          false_alarms_per_day: That the threshold may give.
          hop_s: Seconds from one scored clip to the next in use; `clip_s` by default.

        Raises:
          BundleError: There is too little sound for any threshold, or the machine's
            other sections have another back-end.
          sigjax.data.audio.AudioError: See `embed`.
        """
        before = self.models.get(machine)
        others = {k for k in self.sections if k[0] == machine} - {(machine, section)}
        fitted, known = sound_fit.fit_section(
            self.network,
            waves,
            machine=machine,
            section=section,
            domain=domain,
            backend=backend,
            features=features,
            false_alarms_per_day=false_alarms_per_day,
            hop_s=self.clip_s if hop_s is None else hop_s,
            scaling=before.scaling if before is not None and others else None,
        )
        if before is not None and others:
            fitted = fitted.beside(before, machine, others)
        sections = {**self.sections, known.key: known}
        models = {**self.models, machine: fitted}
        return SoundDetector(self.network, [*sections.values()], models, self.info)

    def only(self, *machines: str) -> "SoundDetector":
        """A detector that knows no other machines.

        Raises:
          BundleError: One is not known.
        """
        models = {self._machine(name): self.models[name] for name in machines}
        kept = [s for s in self.sections.values() if s.machine in models]
        return SoundDetector(self.network, kept, models, self.info)

    def held_out(self, machine: str, section: str) -> np.ndarray:
        """Float64 `[n]`: scores of normal clips by a model fitted without them.

        The thresholds are made of them; limits of drift can be, too.
        """
        try:
            return self.sections[machine, section].held_out
        except KeyError:
            raise BundleError(
                f"{machine}/{section} is not known; there are"
                f" {', '.join('/'.join(key) for key in self.machines)}"
            ) from None

    def with_alarms(
        self, *, false_alarms_per_day: float | None = None, hop_s: float | None = None
    ) -> "SoundDetector":
        """The same detector with thresholds for other false alarms or another hop.

        Args:
          false_alarms_per_day: By default each section's own.
          hop_s: Likewise.

        Raises:
          ThresholdError: There are fewer clips a day than false alarms.
        """
        found = [
            known.with_alarms(
                false_alarms_per_day or known.false_alarms_per_day,
                hop_s or known.hop_s,
                self.clip_s,
            )
            for known in self.sections.values()
        ]
        return SoundDetector(self.network, found, self.models, self.info)

    def save(self, path: epath.PathLike) -> None:
        """Writes a bundle that `sigjax.load` reads, replacing one that is there.

        Raises:
          BundleError: It cannot be written.
        """
        _, arrays = pack(self.sections.values(), self.models)
        sound_bundle.write(path, self.info, self.network.variables, arrays)

    @classmethod
    def read(cls, path: epath.PathLike, info: Mapping[str, Any]) -> "SoundDetector":
        """What `save` wrote; `sigjax.load` calls it.

        Args:
          path: The bundle.
          info: Its `bundle.json`.

        Raises:
          BundleError: Naming the part that is missing or damaged.
        """
        variables, arrays = sound_bundle.read(path)
        network = SoundNetwork.restore(info, variables)
        try:
            sections, models = unpack(info["machines"], arrays)
        except (KeyError, TypeError, ValueError) as error:
            what = "lacks" if isinstance(error, KeyError) else "is damaged:"
            raise BundleError(f"the bundle {path} {what} {error}") from error
        return cls(network, sections, models, info)

    def _described(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": "sound_detector",
            "sigjax_version": VERSION,
            **self.network.describe(),
            "machines": pack(self.sections.values(), self.models)[0],
            "simulated": self.simulated,
        }

    def _names(self) -> list[str]:
        return list(self.models)

    def _machine(self, machine: str | None) -> str:
        if machine is None and len(self.models) == 1:
            return self._names()[0]
        if machine not in self.models:
            what = "name one" if machine is None else f"{machine!r} is not known"
            raise BundleError(
                f"{what}: the detector knows {', '.join(self._names())}; another can be"
                " added from its normal sound by fit (launch.fit_sounds)"
            )
        return machine

    def _threshold(self, machine: str, section: str) -> Threshold:
        """A section's; of a model of all sections the highest of theirs."""
        own = self.thresholds.get((machine, section))
        if own is not None:
            return own
        every = [t for (name, _), t in self.thresholds.items() if name == machine]
        return max(every, key=lambda threshold: threshold.value)

    def _any_section(self, machine: str) -> KnownSection:
        return next(s for s in self.sections.values() if s.machine == machine)
