"""One flag for each setting of preparation, for the commands that prepare."""

import dataclasses
import re
import types
import typing
from typing import Any

from absl import flags

from sigjax.data import formats
from sigjax.data.wearable import prepare


class _NumberOrNone(flags.FloatParser):
    """A number, or `none`."""

    def parse(self, argument: Any) -> float | None:  # type: ignore[override]
        if str(argument).lower() == "none":
            return None
        return super().parse(argument)


def define_config() -> None:
    """Defines a flag for each field of `PrepareConfig`, with its documentation."""
    doc = prepare.PrepareConfig.__doc__ or ""
    about = dict(re.findall(r"^ {6}(\w+): (.*?)(?=^ {6}\w|\Z)", doc, re.M | re.S))
    define = {
        float: flags.DEFINE_float,
        int: flags.DEFINE_integer,
        bool: flags.DEFINE_bool,
        str: flags.DEFINE_string,
    }
    for field in dataclasses.fields(prepare.PrepareConfig):
        text = " ".join(re.sub(r"`+", "", about[field.name]).split())
        values = {name: getattr(p, field.name) for name, p in prepare.PRESETS.items()}
        text += " Presets: " + ", ".join(f"{k}={v}" for k, v in values.items()) + "."
        kinds = typing.get_args(field.type) or (field.type,)
        if types.NoneType in kinds:
            flags.DEFINE(_NumberOrNone(), field.name, None, text)
        else:
            define[kinds[0]](field.name, None, text)


def config(base: prepare.PrepareConfig) -> prepare.PrepareConfig:
    """`base`, changed by the flags that were given."""
    given = {
        field.name: flags.FLAGS[field.name].value
        for field in dataclasses.fields(prepare.PrepareConfig)
        if flags.FLAGS[field.name].present
    }
    return dataclasses.replace(base, **given)


def define_reading() -> None:
    """Defines flags for what files do not say themselves."""
    flags.DEFINE_string(
        "tz",
        "",
        "Where devices were set up, such as Europe/London: for clocks that keep local"
        " time without naming the zone.",
    )
    flags.DEFINE_string(
        "csv",
        "",
        "Columns of text files in no device's format, such as"
        " 'x=ax,y=ay,z=az,unit=g,time=t,time_unit=ms'. "
        + " ".join((formats.CsvLayout.__doc__ or "").split()),
    )
    flags.DEFINE_string(
        "person_regex",
        "",
        "Where a path names the person: a regular expression with a group named person,"
        r" such as '(?P<person>S\d+)_'. Default: the header's subject code, else the"
        " folder (Empatica E4), else the file name.",
    )


def options() -> formats.ReadOptions:
    """How the flags say to read."""
    csv = flags.FLAGS.csv
    return formats.ReadOptions(
        tz=flags.FLAGS.tz, csv=formats.CsvLayout.parse(csv) if csv else None
    )
