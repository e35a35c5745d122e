"""File names of DCASE Task 2 from 2020 to 2026, by one parser.

2020        normal_id_00_00000000.wav, evaluation test id_01_00000000.wav
2021        section_00_source_train_normal_0000_strength_1_ambient.wav
            section_00_source_test_anomaly_0000.wav, section_03_source_test_0000.wav
2022-2026   section_00_target_test_normal_0000_vel_21.wav, and hidden ones
            section_03_0000.wav or section_03_test_0000.wav
2024        section_00_source_normal_0035_weight15_BckgF.wav (RoboticArm's lists)
2025, 2026  section_00_machine_0001_.wav (supplemental)
"""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence

NORMAL, ANOMALY, UNKNOWN = 0, 1, -1
SIDES = ("train", "test", "supplemental")
# In place of attributes that are hidden, as the organisers write it.
HIDDEN_ATTRIBUTES = "noAttribute"
_LABELS = {"normal": NORMAL, "anomaly": ANOMALY}
_NAME = re.compile(
    r"(?:(?P<first>normal|anomaly)_)?"
    r"(?P<kind>section|id)_(?P<section>\d+)"
    r"(?:_(?P<domain>source|target))?"
    r"(?:_(?P<part>train|test|machine|noise))?"
    r"(?:_(?P<condition>normal|anomaly))?"
    r"_(?P<number>\d+)"
    r"(?:_(?P<attributes>.*))?"
)
# Attributes are a word and a value. A word of two parts cannot be told from them.
_TWO_PART_WORDS = {("mic", "pos")}
# A word and its value without a space: weight15, damage1, BckgF.
_COMPACT = re.compile(r"([A-Za-z]+)(\d+)|([A-Z]?[a-z]+)([A-Z])")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Name:
    """What a file's name says.

    Attributes:
      kind: `"section"`, or `"id"` in 2020.
      section: Two digits: the section, in 2020 the machine's ID.
      number: Running number.
      domain: `"source"`, `"target"`, or `""` where it is hidden or there is none.
      side: `"train"`, `"test"`, `"supplemental"`, or `""` where the folder says it.
      label: 0 normal, 1 anomaly, -1 unknown.
      attributes: By word, such as `{"vel": "21"}`; values as written. A supplemental
        clip's `"recorded"` is `"machine"` or `"noise"`.
      hidden_attributes: Whether the name says that it hides them.
    """

    kind: str
    section: str
    number: int
    domain: str = ""
    side: str = ""
    label: int = UNKNOWN
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hidden_attributes: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """Section, domain and number: names of a hidden clip that differ in spelling
        only (`section_03_0000`, `section_03_test_0000.wav`) have the same."""
        return self.section, self.domain, self.number


def parse(path: str | os.PathLike[str]) -> Name | None:
    """Reads a file's name; folders and the ending do not matter.

    Returns:
      What it says, or None if it is no name of DCASE Task 2.
    """
    match = _NAME.fullmatch(stem(path))
    if match is None:
        return None
    found = match.groupdict()
    part = found["part"] or ""
    text = found["attributes"] or ""
    attributes = parse_attributes(text)
    if part in ("machine", "noise"):
        attributes["recorded"], part = part, "supplemental"
    condition = found["condition"] or found["first"]
    return Name(
        kind=found["kind"],
        section=f"{int(found['section']):02d}",
        number=int(found["number"]),
        domain=found["domain"] or "",
        side=part,
        label=_LABELS.get(condition or "", UNKNOWN),
        attributes=attributes,
        hidden_attributes=HIDDEN_ATTRIBUTES in text.split("_"),
    )


def parse_attributes(text: str) -> dict[str, str]:
    """Reads what follows a name's number, such as `"pro_A_wt_200"`.

    Tables of attributes (`attributes_00.csv`) say the same surely; this is for names
    that have no table. A word that is left without a value has an empty one.
    """
    tokens = [t for t in text.split("_") if t and t != HIDDEN_ATTRIBUTES]
    found: dict[str, str] = {}
    while tokens:
        word = tokens.pop(0)
        compact = _COMPACT.fullmatch(word)
        if compact is not None:
            word, value = (group for group in compact.groups() if group)
        else:
            if tokens and (word, tokens[0]) in _TWO_PART_WORDS and len(tokens) > 1:
                word += "_" + tokens.pop(0)
            value = tokens.pop(0) if tokens else ""
        found[word] = value
    return found


def attributes_of_row(values: Sequence[str]) -> dict[str, str]:
    """Reads words and values by turns, as tables of attributes have them.

    Rows are as long as a clip has attributes. Hidden ones are none.
    """
    pairs = zip(values[::2], values[1::2], strict=False)
    return {
        word.strip(): value.strip()
        for word, value in pairs
        if word.strip() and HIDDEN_ATTRIBUTES not in (word.strip(), value.strip())
    }


def stem(path: str | os.PathLike[str]) -> str:
    """A file's name without folders and without the ending of an audio file.

    Names hold dots of their own (`volt_1.0`), and truth files leave endings out.
    """
    name = re.split(r"[\\/]", os.fspath(path).strip())[-1]
    return re.sub(r"\.(wav|flac|ogg)$", "", name, flags=re.IGNORECASE)
