r"""Repeats the tables and figures of papers: one command each.

    python -m launch.reproduce --list
    python -m launch.reproduce --paper=000 --table=1
    python -m launch.reproduce --paper=001 --table=7
    python -m launch.reproduce --paper=002 --table=3
    python -m launch.reproduce --paper=003 --table=4
    python -m launch.reproduce --paper=004 --sheet=compression

A table or another sheet is a sweep over configs (configs/papers/p000.py to p004.py).
Without data it runs on SIMULATED recordings, at small scale, and says so; with your
own, or with a paper's:

    python -m launch.reproduce --paper=000 --table=1 --workdir=runs/paper000 \
        --unlabelled=STORE --labelled=sets/capture24 --scale=paper

    python -m launch.reproduce --paper=001 --table=2,3,4,5,6,7 --workdir=runs/paper001 \
        --sounds=sets/dcase2021 --scale=paper

    python -m launch.reproduce --paper=002 --table=1,2,3 --figure=1,2,3,4,5 \
        --workdir=runs/paper002 --marmosets=InfantMarmosetsVox --watkins=watkins \
        --mescalina=mescalina.csv --bundles=aves=bundles/aves,hubert=bundles/hubert

    python -m launch.reproduce --paper=003 --table=1,4 --workdir=runs/paper003 \
        --kinetics_sounds=sets/kinetics_sounds --dat_weights=bundles/dat_tiny \
        --ast_weights=bundles/deit --scale=paper

    python -m launch.reproduce --paper=004 --workdir=runs/paper004 \
        --sheet=compression,denoising,anomaly,initialisation,segmentation,generation \
        --fsdd=FSDD/recordings --har=sets/sp_sw_har --motors=bldc_motor_audio/dataset \
        --esc10=sets/esc10

STORE comes from `launch.prepare --preset=paper`, labelled sets from
`launch.build_dataset`, sets of machine sounds from `launch.build_sounds`, of audio
events from `launch.build_events`, weights from `launch.convert`. Calls of animals are
the published folder, or a manifest of `launch.build_calls`; --calls=NAME=MANIFEST and
--bundles=NAME=BUNDLE add sets and encoders of your own; rows without either say so.
Every training and every evaluation is a cell, WORKDIR/cells/KEY, run once and shared by
all rows and tables that need it. Stop the command when you like: it goes on where it
was, within a cell too. Start it again on as many hosts as share WORKDIR, or with
--processes=N, one for each accelerator: each takes the next free cell. WORKDIR/tables
has every table as Markdown, CSV and JSON, WORKDIR/figures the figures.

Paper 000 chooses epochs on the people whom it reports, paper 001 scores, high-pass and
loss on the sections that it reports, paper 002 layers on the calls that it reports.
--protocol=paper does so too; the defaults, held_out and honest, report what no choice
has seen.
"""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from absl import app, flags
from etils import epath

from launch import claims, runtime
from launch.reproduction import cells, costs, papers, rendering
from launch.reproduction.runner import Cells, Outcome
from sigjax.config import ConfigError
from sigjax.data.clips import ManifestError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.store import StoreError
from sigjax.evals.anomaly.selection import SelectionError
from sigjax.evals.dcase_years import DcaseError
from sigjax.train.writer import WorkdirError

EXPECTED_ERRORS = (
    claims.ClaimError,
    ConfigError,
    DatasetError,
    DcaseError,
    FileExistsError,
    FileNotFoundError,
    ManifestError,
    SelectionError,
    StoreError,
    WorkdirError,
)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_bool("list", False, "Show every paper's tables and what they cost.")
    flags.DEFINE_string("paper", "000", "Which paper.")
    flags.DEFINE_list("table", [], "Number of the table; several: 1,2,3.")
    flags.DEFINE_list("figure", [], "Number of the figure.")
    flags.DEFINE_list("sheet", [], "Any table or figure by the name that --list shows.")
    flags.DEFINE_string(
        "workdir", "", "Where cells, tables and figures lie; runs/reproduce-PAPER."
    )
    flags.DEFINE_string(
        "scale",
        "",
        "How large: see --list. By default the paper's if all its data are given, else"
        " the first that can be simulated.",
    )
    flags.DEFINE_string("protocol", "", "Who chooses and who is reported: see --list.")
    flags.DEFINE_integer("seeds", None, "Repeats, instead of the table's own.", 1)
    for name in papers.STUDIES:
        papers.study_named(name).define_flags()
    flags.DEFINE_integer("processes", 1, "Processes, one for each accelerator.", 1)
    flags.DEFINE_integer("worker", 0, "Set by --processes: run cells, show no table.")
    flags.DEFINE_bool("dry_run", False, "Show the cells and run none.")


def wanted(paper: Any) -> list[Any]:
    """The tables and figures that the flags name.

    Raises:
      ConfigError: One is not the paper's, or none is named.
    """
    given = flags.FLAGS
    keys = [f"table{n}" for n in given.table] + [f"figure{n}" for n in given.figure]
    keys += given.sheet
    if not keys:
        known = ", ".join(sheet.key for sheet in paper.sheets)
        raise ConfigError(
            f"paper {paper.key}: say what to repeat, such as --table={_first(paper)};"
            f" there are {known} (--list shows them)"
        )
    return [paper.sheet(key) for key in keys]


def _first(paper: Any) -> str:
    keys = [s.key for s in paper.sheets if s.key.startswith("table")]
    return keys[0].removeprefix("table") if keys else "1"


def scale_of(paper: Any, study: papers.Study) -> Any:
    """The scale that `--scale` names, or that the given data allow."""
    given = flags.FLAGS
    if given.scale:
        return paper.scale(given.scale)
    if study.has_data(given):
        return paper.scales[0]
    simulated = [scale for scale in paper.scales if scale.simulated is not None]
    return (simulated or paper.scales)[0]


def refuse_flags_of_others(paper: Any, study_name: str) -> None:
    """Raises ConfigError if a flag is given that this paper's study does not know."""
    own = papers.study_named(study_name).own_flags
    others = {f for n in papers.STUDIES for f in papers.study_named(n).own_flags}
    for flag in sorted(others - {*own}):
        if flags.FLAGS[flag].value:
            raise ConfigError(
                f"--{flag} is not for paper {paper.key}, which takes"
                f" {', '.join(f'--{f}' for f in own)}"
            )


class Session:
    """What one command works with: data, plans, and what is said of them."""

    def __init__(self, say=print):
        """Opens the data, or simulates them, and lays out the sheets."""
        given = flags.FLAGS
        self.paper = papers.load(given.paper)
        name, self.study = papers.study_of(given.paper)
        self.sheets = wanted(self.paper)
        self.scale = scale_of(self.paper, self.study)
        self.protocol = self.paper.protocol(given.protocol)
        refuse_flags_of_others(self.paper, name)
        default = f"runs/reproduce-{self.paper.key}"
        self.workdir = epath.Path(given.workdir or default).expanduser().resolve()
        self.workdir.mkdir(parents=True, exist_ok=True)
        before = self.study.given(given)
        self._lay_out(before)  # Mistakes are told before minutes of simulation.
        asked = papers.Asked(
            given, self.paper, self.workdir, self.scale, self.sheets, before
        )
        self.opened = self.study.open(asked, say)
        self.plans = self._lay_out(self.opened.given)

    def _lay_out(self, given: Any) -> list[Any]:
        make = self.study.make_plan
        return [
            make(self.paper, s, self.scale, self.protocol, given) for s in self.sheets
        ]

    @property
    def cells(self) -> dict[str, cells.Cell]:
        """All sheets' cells; one that several share is named by the first."""
        found: dict[str, cells.Cell] = {}
        for plan in self.plans:
            found |= {k: cell for k, cell in plan.cells.items() if k not in found}
        return found

    def header(self, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
        """What every table says of its data and making."""
        results = [o.result for o in outcomes.values() if o.result]
        return {
            "paper": self.paper.key,
            "paper_title": f"Paper {self.paper.key}: {self.paper.title}",
            "paper_data": self.paper.data,
            "scale_key": self.scale.key,
            "scale": f"{self.scale.key} ({self.scale.says})",
            "protocol_key": self.protocol.key,
            "protocol": f"{self.protocol.key} ({self.protocol.says})",
            "simulated": self.opened.simulated,
            "overrides": "",
            **self.opened.header,
            "command": command(),
            "made_with": rendering.made_with(results),
        }


def command() -> str:
    """This command, to be typed again."""
    return shlex.join(["python", "-m", "launch.reproduce", *sys.argv[1:]])


def run(session: Session, say=print) -> Mapping[str, Outcome]:
    """Runs the session's cells in this process, beside others on the same folder."""
    work = session.study.work(session.workdir, session.opened, session.scale)
    return Cells(session.workdir, session.cells).run(work, say)


def spread(session: Session, processes: int) -> Mapping[str, Outcome]:
    """Runs the cells in several processes, each with an accelerator of its own.

    Raises:
      ConfigError: This system has no file locks.
    """
    if claims.fcntl is None:
        raise ConfigError("--processes needs file locks, which this system has not")
    cells_of_all = Cells(session.workdir, session.cells)
    again = [sys.executable, "-m", "launch.reproduce", *sys.argv[1:]]
    children = [
        subprocess.Popen(
            [*again, "--processes=1", f"--worker={place + 1}"],
            env=environment(place, os.environ),
        )
        for place in range(processes)
    ]
    try:
        for child in children:
            child.wait()
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()  # Saves its state and leaves.
        for child in children:
            child.wait()
    return cells_of_all.outcomes()


def environment(place: int, env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: one of the NVIDIA devices, if there are any.

    Args:
      place: Number of the child, from 0.
      env: Of this process; its `CUDA_VISIBLE_DEVICES` is divided up.
    """
    named = env.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        count = len(list(pathlib.Path("/dev").glob("nvidia[0-9]*")))
        devices = [str(number) for number in range(count)]
    else:
        devices = [name for name in named.split(",") if name]
    if not devices:
        return dict(env)
    return {**env, "CUDA_VISIBLE_DEVICES": devices[place % len(devices)]}


def show(session: Session, outcomes: Mapping[str, Outcome]) -> bool:
    """Prints and writes every table and figure; says whether all have all numbers."""
    whole = True
    header = session.header(outcomes)
    for plan in session.plans:
        shown = session.study.show(plan, outcomes, session.workdir, header)
        print(f"\n{shown.text}")
        for path in shown.figures:
            print(f"figure: {path}")
        print(f"table: {session.workdir}/tables/{plan.sheet.key}.md, .csv, .json")
        whole = whole and not shown.failed
    return whole


def reproduce() -> bool:
    """Does what the flags say; whether all that was to be run has numbers."""
    given = flags.FLAGS
    if given.list:
        print(costs.listing(cells.Given(seeds=given.seeds)))
        return True
    if not given["distributed"].present:
        # Processes share the folder, not a model: under Slurm, too.
        given.distributed = "off"
    runtime.start()
    worker = f"process {given.worker}: " if given.worker else ""

    def say(text: str) -> None:
        print(f"{worker}{text}", flush=True)

    session = Session(say if not worker else lambda text: None)
    if not worker:
        counted = costs.counts(session.cells.values())
        cost = costs.line(session.study.nouns, session.scale, counted)
        say(f"paper {session.paper.key}, scale {session.scale.key}: {cost}")
        say(f"in {session.workdir}")
    if given.dry_run:
        for plan in session.plans:
            print(costs.dry_run(plan))
        return True
    if given.processes > 1:
        return show(session, spread(session, given.processes))
    outcomes = run(session, say)
    return bool(worker) or show(session, outcomes)


def _terminate(*_: Any) -> None:
    raise SystemExit(143)


def main(argv: list[str]) -> None:
    """Runs `reproduce`; exit status 1 if a cell failed."""
    if len(argv) > 1:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
    # A training step in progress has its own handler, which saves first.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        whole = reproduce()
    except EXPECTED_ERRORS as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # `--list | head`: who read has seen enough
        # The interpreter would try once more to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (KeyboardInterrupt, SystemExit) as stop:
        code = stop.code if isinstance(stop, SystemExit) else 130
        if code in (130, 143):
            print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(code)
    if not whole:
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    app.run(main)
