"""Divisions of people that a file fixes."""

import itertools

import pytest
from sklearn import model_selection

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


def test_the_folds_of_sp_sw_har_are_everyone_once():
    folds = splits.person_split("5_folds", dataset="sp_sw_har")
    assert sorted(folds) == [f"fold{number}" for number in range(1, 6)]
    people = sorted(person for fold in folds.values() for person in fold)
    assert people == [f"s{number:02d}" for number in range(1, 24)]
    assert "5_folds" in splits.names("sp_sw_har")


def test_the_folds_of_sp_sw_har_are_scikit_learns(real_data):
    folds = splits.person_split("sp_sw_har_5_folds")
    groups = []
    for path in sorted((real_data / "sp_sw_har_watch" / "DATA").glob("s*/*_sw.csv")):
        rows = path.read_text().splitlines()
        column = rows[0].split(",").index("timestamp")
        first, last = (int(rows[row].split(",")[column]) for row in (1, -1))
        # Samples at 30 Hz from the first to the last one, in whole seconds.
        groups += [path.parent.name] * (((last - first) * 30 // 1000 + 1) // 30)
    assert len(groups) == 1008
    parts = model_selection.GroupKFold(5).split(groups, groups=groups)
    for number, (_, test) in enumerate(parts, 1):
        assert set(folds[f"fold{number}"]) == {groups[index] for index in test}
        assert len(test) == (216, 217, 215, 180, 180)[number - 1]


@pytest.mark.parametrize("seed", [0, 1])
def test_smaller_shares_are_part_of_larger_ones(seed):
    fractions = (0.001, 0.05, 0.07, 0.5, 1.0)
    shares = [splits.share_of(PEOPLE, fraction=f, seed=seed) for f in fractions]
    assert [len(share) for share in shares] == [1, 8, 11, 76, 151]
    assert all(few < more for few, more in itertools.pairwise(shares))
    assert splits.share_of(PEOPLE[::-1], fraction=0.5, seed=seed) == shares[3]
    for fraction in (0.0, 1.1):
        with pytest.raises(ValueError, match="not in"):
            splits.share_of(PEOPLE, fraction=fraction, seed=seed)


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
