"""Opens a config's audio events; simulates them first if it says so."""

import dataclasses

from etils import epath

from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_events.stream import EventData, EventDataConfig
from sigjax.data.datasets.folders import chosen_set


def open_event_data(
    config: EventDataConfig, workdir: epath.PathLike, *, build: bool = True
) -> EventData:
    """Opens a config's data; simulates them first if it says so.

    Args:
      config: As of `EventData`.
      workdir: `WORKDIR/simulated_events` gets simulated files, `WORKDIR/sets` (or
        `config.dataset`) the set of them.
      build: Whether to simulate what is not there. Of several processes one alone may;
        the others wait for it.

    Raises:
      DatasetError: There is no set, or it does not fit; see `EventData`.
    """
    if config.simulate is not None and build:
        simulate_set(config, workdir)
    folder = chosen_set(
        config.dataset,
        workdir,
        simulated=config.simulate is not None,
        build_with="launch.build_events",
    )
    return EventData(EventSet.open(folder), config)


def simulate_set(config: EventDataConfig, workdir: epath.PathLike) -> epath.Path:
    """Writes simulated events in a published layout, and builds a set of them.

    What is there already is kept; from one process alone.

    Args:
      config: With `simulate`.
      workdir: See `open_event_data`.

    Returns:
      The set's folder.

    Raises:
      DatasetError: A set is there that was built otherwise.
      ValueError: The config simulates nothing.
    """
    # Simulating and building are slow to import, and most sets are there.
    from sigjax.data.audio_events import layouts
    from sigjax.data.datasets import audio_events
    from sigjax.data.synthetic.events import write_events_set

    if config.simulate is None:
        raise ValueError("simulate is None: this config is of real data")
    raw = write_events_set(
        epath.Path(workdir) / "simulated_events", **dataclasses.asdict(config.simulate)
    )
    manifest, report = layouts.scan(raw, config.simulate.layout)
    folder, _ = audio_events.build(
        manifest, report, config.dataset or epath.Path(workdir) / "sets"
    )
    return folder
