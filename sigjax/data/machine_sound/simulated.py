"""Opens a config's sounds; simulates them first if it says so."""

from etils import epath

from sigjax.data.datasets.folders import chosen_set
from sigjax.data.machine_sound.sounds import SoundSet
from sigjax.data.machine_sound.stream import SoundData, SoundDataConfig


def open_sound_data(
    config: SoundDataConfig, workdir: epath.PathLike, *, build: bool = True
) -> SoundData:
    """Opens a config's data; simulates them first if it says so.

    Args:
      config: As of `SoundData`.
      workdir: `WORKDIR/simulated_sounds` gets simulated files, `WORKDIR/sets` (or
        `config.dataset`) the set of them.
      build: Whether to simulate what is not there. Of several processes one alone may;
        the others wait for it.

    Raises:
      DatasetError: There is no set, or it does not fit; see `SoundData`.
    """
    if config.simulate is not None and build:
        simulate_set(config, workdir)
    folder = chosen_set(
        config.dataset,
        workdir,
        simulated=config.simulate is not None,
        build_with="launch.build_sounds",
    )
    return SoundData(SoundSet.open(folder), config)


def simulate_set(config: SoundDataConfig, workdir: epath.PathLike) -> epath.Path:
    """Writes simulated sounds as DCASE 2021 is published, and builds a set of them.

    What is there already is kept; from one process alone.

    Args:
      config: With `simulate`.
      workdir: See `open_sound_data`.

    Returns:
      The set's folder.

    Raises:
      DatasetError: A set is there that was built otherwise.
      ValueError: The config simulates nothing.
    """
    # Simulating and building are slow to import, and most sets are there.
    from sigjax.data.datasets import machine_sound
    from sigjax.data.machine_sound import layout
    from sigjax.data.synthetic.machine_sound import write_machine_sounds

    simulate = config.simulate
    if simulate is None:
        raise ValueError("simulate is None: this config is of real data")
    raw = write_machine_sounds(
        epath.Path(workdir) / "simulated_sounds",
        machines=simulate.machines,
        sections=simulate.sections,
        train_source=simulate.train_source,
        train_target=simulate.train_target,
        test_normal=simulate.test_normal,
        test_anomaly=simulate.test_anomaly,
        clip_s=simulate.clip_s,
        seed=simulate.seed,
    )
    # Its folder has no year in its name; it lays files as 2021's.
    manifest, report = layout.scan(raw, year=2021)
    folder, _ = machine_sound.build(
        manifest, report, config.dataset or epath.Path(workdir) / "sets"
    )
    return folder
