"""Dog calls of the Mescalina Bark ID set (Pérez-Espinosa et al. 2018).

    data/INDIVIDUAL_x/CALLTYPE/*.wav

as divided into call types by Abzaliev et al. 2024. Folders of other names (television,
cars...) are no calls. `S` is left out, as in the paper, but keeps its number.
"""

import pathlib

from etils import epath

from sigjax.data.calls.listing import CallListing
from sigjax.data.calls.manifest import Call, CallManifest
from sigjax.data.clips import Report

CALL_TYPES = (
    "L-S1",
    "L-S2",
    "L-S3",
    "L-A",
    "L-PA",
    "L-P",
    "L-O",
    "S",
    "CH-P",
    "CH-N",
    "GR-P",
    "GR-N",
    "L-TA",
    "L-H",
)
_LEFT_OUT = "S"


def scan(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """Lists audio files by the folders of call types and dogs that they lie in.

    Returns:
      Calls by path (an order that does not depend on the file system), the 14 call
      types in the order of their numbers, the dog as group, and what was left out.

    Raises:
      ManifestError: There is no audio, or no folder is called as a call type.
      FileNotFoundError: There is no such folder.
    """
    listing = CallListing(root)
    names = {name.upper(): name for name in CALL_TYPES}
    for path in listing.paths:
        folders = pathlib.PurePosixPath(path).parts[:-1]
        label = names.get(folders[-1].upper().replace("_", "-")) if folders else None
        if label is None:
            where = repr(folders[-1]) if folders else "no folder"
            listing.leave_out(path, f"in {where}: not a call type of dogs")
        elif label == _LEFT_OUT:
            listing.leave_out(path, f"call type {label}: left out as in the paper")
        else:
            dog = folders[-2] if len(folders) > 1 else ""
            listing.add(Call(id=path, path=path, label=label, group=dog))
    return listing.finished(CALL_TYPES)
