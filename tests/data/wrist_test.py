"""Who is read for pretraining, and who is not."""

import numpy as np
import pytest

from sigjax.data.recording import PreparedRecording, WearSegment
from sigjax.data.store import Store, StoreWriter
from sigjax.data.wrist import WristData, WristDataConfig

PEOPLE = ("s12", "s13", "s17", "s01", "other")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three people of sp-sw-har's first fold, one of its second, and somebody."""
    into = StoreWriter(
        tmp_path_factory.mktemp("wrist") / "store", rate_hz=30.0, description={}
    )
    still = np.zeros((600, 3), np.float32)
    for person in PEOPLE:
        into.write(
            PreparedRecording(
                name=person,
                person=person,
                source="",
                device="",
                device_id="",
                rate_hz=30.0,
                segments=(WearSegment(start=0.0, acceleration=still),),
                quality={},
            )
        )
    return into.finish()


def people(store, **changes):
    config = WristDataConfig(
        store="", crop_s=10.0, batch_size=1, validation_fraction=0.0, **changes
    )
    data = WristData(Store.open(store.path), config)
    return {entry.person for entry in data.train_source.entries}, data.fingerprint


def test_people_of_a_side_are_never_read(store):
    everybody, fingerprint = people(store)
    assert everybody == {*PEOPLE}
    some, other = people(store, without="sp_sw_har_5_folds:fold1")
    assert some == {"s01", "other"}
    rest, _ = people(store, without="sp_sw_har_5_folds:fold1, sp_sw_har_5_folds:fold2")
    assert rest == {"other"}
    assert fingerprint != other


@pytest.mark.parametrize("without", ["fold1", "sp_sw_har_5_folds:fold9"])
def test_a_side_that_is_none_is_an_error(store, without):
    with pytest.raises(ValueError, match="no side of a division"):
        people(store, without=without)


def test_leaving_out_people_who_are_not_there_is_an_error(store):
    with pytest.raises(ValueError, match="person_regex"):
        people(store, without="sp_sw_har_5_folds:fold5")
