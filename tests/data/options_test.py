"""What users say about files: layouts, channels, time zones."""

import pytest

from sigjax.data.formats import CsvLayout, ReadOptions
from sigjax.data.formats.options import utc_offset_s


def test_a_layout_as_flags_give_it():
    layout = CsvLayout.parse(
        r"x=ax,y=ay,z=az,unit=m/s2,time=t,time_unit=%d.%m.%Y %H:%M:%S\,%f,"
        r"rate_hz=50,skip_rows=3,has_names=true,delimiter=tab,decimal=\,"
    )
    assert layout == CsvLayout(
        x="ax",
        y="ay",
        z="az",
        unit="m/s2",
        time="t",
        time_unit="%d.%m.%Y %H:%M:%S,%f",
        rate_hz=50.0,
        skip_rows=3,
        delimiter="tab",
        decimal=",",
    )
    assert layout.separator == "\t"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x=a,y=b", "name the columns of z"),
        ("x=a,y=b,z=c", "name the time column, or give rate_hz"),
        ("x=a,y=b,z=c,rate=5", "'rate=5' is not KEY=VALUE"),
        ("x=a,y=b,z=c,rate_hz=fast", "rate_hz='fast' must be a number"),
        ("x=a,y=b,z=c,rate_hz=-1,time=t", "must not be negative"),
        ("x=a,y=b,z=c,rate_hz=nan", "name the time column, or give rate_hz"),
        ("x=a,y=b,z=c,rate_hz=inf", "rate_hz"),
        ("x=a,y=b,z=c,rate_hz=5,unit=G", "unit='G': one of"),
        ("x=a,y=b,z=c,time=t,time_unit=min", "time_unit='min'"),
        ("x=a,y=b,z=c,time=t,time_unit=%m %m", "time_unit='%m %m'"),
        ("x=a,y=b,z=c,time=t,time_unit=%Q", "time_unit='%Q'"),
        ("x=a,y=b,z=c,rate_hz=5,has_names=yes", "has_names='yes' must be true or"),
        ("x=a,y=b,z=c,rate_hz=5,delimiter=ab", "one ASCII character, or tab"),
        ("x=a,y=b,z=c,rate_hz=5,delimiter=§", "one ASCII character, or tab"),
        (r"x=a,y=b,z=c,rate_hz=5,decimal=\,", "and not the delimiter"),
        ("x=a,y=b,z=c,rate_hz=5,decimal=;", "'.' or ','"),
        ("x=a,y=b,z=c,rate_hz=5,start=today", "start='today': not an ISO 8601 time"),
        ("x=a,y=a,z=c,rate_hz=5", "x, y and z must be three columns"),
    ],
)
def test_layouts_that_no_table_can_have(text, message):
    with pytest.raises(ValueError, match=message):
        CsvLayout.parse(text)


def test_a_zone_must_be_one():
    with pytest.raises(ValueError, match="'London' is no IANA time zone"):
        ReadOptions(tz="London")
    assert utc_offset_s(1_720_000_000, "Europe/London") == 3600
    assert utc_offset_s(1_700_000_000, "Europe/London") == 0
