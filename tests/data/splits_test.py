"""Divisions of people that a file fixes."""

import pytest

from sigjax.data import splits

PEOPLE = [f"P{number:03d}" for number in range(1, 152)]


def test_the_standard_division_of_capture24():
    sides = splits.person_split("standard", dataset="capture24")
    assert sides == {"train": tuple(PEOPLE[:100]), "test": tuple(PEOPLE[100:])}
    assert splits.person_split("capture24_standard") == sides


def test_the_papers_80_20_is_what_its_file_says_it_is():
    sides = splits.person_split("paper_80_20", dataset="capture24")
    held = splits.held_out(PEOPLE, fraction=0.2, seed=0)
    assert set(sides["validation"]) == held and len(held) == 31
    assert set(sides["train"]) == set(PEOPLE) - held


@pytest.mark.parametrize(
    "path", sorted(splits.FOLDER.glob("*.csv")), ids=lambda p: p.stem
)
def test_nobody_is_on_two_sides(path):
    sides = splits.person_split(str(path))
    people = [person for side in sides.values() for person in side]
    assert len(people) == len(set(people))


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.csv"
    splits.write_person_split(
        path, {"train": ["b", "a"], "test": ["c, d"]}, comment="by hand\ntwice"
    )
    assert path.read_text().startswith("# by hand\n# twice\nperson,side\na,train\n")
    assert splits.person_split(str(path)) == {"train": ("a", "b"), "test": ("c, d",)}
    with pytest.raises(ValueError, match="b would be on two sides"):
        splits.write_person_split(path, {"x": ["a", "b"], "y": ["b"]}, comment="")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("who,side\na,train\n", "expected the columns person,side"),
        ("person,side\na,train\na,test\n", "'a', side 'test'"),
        ("person,side\na\n", "each person is named once"),
        ("", "expected the columns"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        splits.person_split(str(path))


def test_unknown_names_list_those_that_are_known():
    with pytest.raises(FileNotFoundError, match="capture24_paper_80_20, capture24_sta"):
        splits.person_split("stanard", dataset="capture24")
