"""Free Spoken Digit Dataset (Jackson et al.): digits said by six speakers.

    recordings/7_jackson_32.wav: digit, speaker, take

Takes 0 to 4 are the test set. All speakers are in both splits: to tell how well digits
of somebody new are recognised, leave one group out.
"""

import pathlib
import re

from etils import epath

from sigjax.data.calls.listing import CallListing
from sigjax.data.calls.manifest import Call, CallManifest
from sigjax.data.clips import Report

_NAME = re.compile(r"(\d)_([^_]+)_(\d+)")
_TEST_TAKES = 5


def scan(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """Lists the recordings of a folder.

    Returns:
      Calls by path with the official split, digits as classes, speakers as groups, and
      what was left out.

    Raises:
      ManifestError: No file is called so, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = CallListing(root)
    for path in listing.paths:
        stem = pathlib.PurePosixPath(path).stem
        found = _NAME.fullmatch(stem)
        if found is None:
            listing.leave_out(path, "name is not DIGIT_SPEAKER_TAKE")
            continue
        split = "test" if int(found[3]) < _TEST_TAKES else "train"
        listing.add(
            Call(id=stem, path=path, label=found[1], group=found[2], split=split)
        )
    return listing.finished()
