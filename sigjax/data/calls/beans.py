"""Classification sets of BEANS (Hagiwara et al. 2023), as its scripts leave them.

    data/NAME/annotations.{train,valid,test}.csv: path,label        NAME such as dogs
    data/NAME/wav/1.wav

`annotations.train-low.csv` is a part of the training table and is not used.
"""

from etils import epath

from sigjax.data.calls.listing import CallListing
from sigjax.data.calls.manifest import Call, CallManifest
from sigjax.data.clips import ManifestError, Report

_SPLITS = {"train": "train", "valid": "validation", "test": "test"}


def scan(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """Lists the calls of one set's folder.

    Returns:
      Calls of the three splits in the order of their tables, classes in alphabetical
      order, and what was left out. Who calls is not in the tables: groups are files.

    Raises:
      ManifestError: A table is missing, is there several times (the folder holds
        several sets), or is one of a detection set; or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = CallListing(root)
    for name, split in _SPLITS.items():
        table, rows = listing.rows(
            f"annotations.{name}.csv",
            needed=("path",),
            what="the three tables of one classification set of BEANS are needed; its"
            " scripts write them",
        )
        if rows and "label" not in rows[0][1]:
            raise ManifestError(
                f"{table}: has no column 'label': it is not of a classification set of"
                f" BEANS; columns are {', '.join(rows[0][1])}"
            )
        for _, row in rows:
            path = listing.find(row["path"])
            if path is not None:
                listing.add(Call(id=path, path=path, label=row["label"], split=split))
    return listing.finished()
