"""Opens the zip archive that an ActiGraph `.gt3x` file is."""

import contextlib
import copy
import zipfile
from collections.abc import Iterator
from typing import IO

from sigjax.data.formats.source import Stream, open_member, unpacking
from sigjax.data.recording import FormatError

_INFO_LIMIT = 1 << 20  # real ones have less than 1 kB
# Deflate gives 2 to 20 times less; pages that are not written cost nothing.
_MOST_RATIO = 16


class Archive:
    """The members of a `.gt3x` file, by their names without folders, in lower case.

    Attributes:
      name: Of the file, for messages.
    """

    def __init__(self, raw: IO[bytes], name: str):
        """Reads the directory of `raw`, which must seek.

        Raises:
          FormatError: If it is no zip archive.
        """
        self.name = name
        with unpacking(name):
            self._zip = zipfile.ZipFile(raw)
            members = self._zip.infolist()
        self._members = {m.filename.rpartition("/")[2].lower(): m for m in members}

    def has(self, member: str) -> bool:
        """Whether there is such a member."""
        return member in self._members

    def size(self, member: str) -> int:
        """Most bytes to expect, whatever the archive claims."""
        found = self._members[member]
        return min(found.file_size, _MOST_RATIO * found.compress_size)

    def checksum(self, member: str) -> int:
        """CRC-32 that its bytes should have."""
        return self._members[member].CRC

    @contextlib.contextmanager
    def open(self, member: str) -> Iterator[Stream]:
        """Its bytes as a stream, to be used in a `with` statement.

        Raises:
          FormatError: If there is no such member, or it is packed in an unknown way.
        """
        if member not in self._members:
            found = ", ".join(sorted(self._members)) or "nothing"
            raise FormatError(
                f"{self.name}: a .gt3x file holds {member}, this one holds {found}"
            )
        # Without its checksum, a damaged member is read up to its end; the records
        # in it tell which of them are damaged.
        found = copy.copy(self._members[member])
        del found.CRC
        with unpacking(f"{self.name}: {member}"):
            handle = open_member(self._zip, found)
        with Stream(handle, packed=True) as stream:
            yield stream

    def read(self, member: str) -> bytes:
        """Its first bytes: all of a member that describes the device."""
        with self.open(member) as stream:
            return stream.read(_INFO_LIMIT)
