"""A device file as a stream of bytes, whatever it is packed in."""

import contextlib
import errno
import gzip
import io
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from etils import epath

from sigjax.data.recording import FormatError

_HEAD_BYTES = 4096
_PACKED = (".gz", ".zip")
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


@contextlib.contextmanager
def unpacking(name: str) -> Iterator[None]:
    """Turns what damage makes `zipfile` raise into a `FormatError` that names the file.

    Errors of reading itself, such as a bucket that does not answer, stay what they are.
    """
    try:
        yield
    except (*_DAMAGE, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        # A damaged directory points to places before the file's beginning.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise FormatError(f"{name}: cannot unpack: {error}; copy it again") from error


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Opens a member of an archive.

    Raises:
      NotImplementedError: If it is packed otherwise than software for devices does;
        the other methods have errors of their own.
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("packed neither by deflate nor stored")
    return archive.open(member)


class Source:
    """What a reader reads: a local file, one in a bucket, or bytes.

    A `.gz` file, and a `.zip` that holds one file, are unpacked as they are read and
    never wholly in memory.

    Attributes:
      name: For messages and `Recording.source`.
      path: Where it is; None for bytes.
      member: Which recording of a file that holds many, or "": the person in
        `X.npy/P001`, as if the file were a folder.
      kind: File name in lower case, without `.gz` or `.zip`: what tells formats apart.
    """

    def __init__(self, source: "epath.PathLike | bytes | Source", name: str = ""):
        """Opens nothing yet."""
        self.member = ""
        if isinstance(source, Source):
            name, self.member = name or source.name, source.member
            source = source._bytes if source.path is None else source.path
        self._bytes = source if isinstance(source, bytes) else b""
        self.path = None if isinstance(source, bytes) else epath.Path(source)
        self.name = name or ("<bytes>" if self.path is None else str(self.path))
        if self.path is not None and self.path.parent.suffix == ".npy":
            self.member = urllib.parse.unquote(self.path.name)
            self.path = self.path.parent
        self.kind = (self.path.name if self.path else self.name).lower()
        for ending in _PACKED:
            self.kind = self.kind.removesuffix(ending)
        self._head: bytes | None = None

    def open(self) -> "Stream":
        """A fresh stream of the unpacked bytes, to be used in a `with` statement.

        Raises:
          FileNotFoundError: If there is no such file.
          FormatError: If a `.gz` is none, or a `.zip` is damaged or does not hold
            exactly one file.
        """
        if self.path is None:
            return Stream(io.BytesIO(self._bytes))
        raw = self.path.open("rb")
        try:
            ending = self.path.suffix.lower()
            if ending == ".gz":
                start = raw.read(2)
                if start not in (b"", b"\x1f\x8b"):
                    raise FormatError(
                        f"{self.name}: called .gz, but it is not packed by gzip (starts"
                        f" with {start!r}); rename it or copy it again"
                    )
                raw.seek(0)
                return Stream(gzip.GzipFile(fileobj=raw), raw, packed=True)
            if ending == ".zip":
                return Stream(self._member(raw), raw, packed=True)
        except BaseException:
            raw.close()
            raise
        return Stream(raw)

    def open_seekable(self) -> IO[bytes]:
        """The unpacked bytes as a file that seeks, to be used in a `with` statement.

        For formats that are archives themselves. What is packed once more is unpacked
        into a temporary file.

        Raises:
          FileNotFoundError: If there is no such file.
          FormatError: If a `.zip` is damaged or does not hold exactly one file.
        """
        if self.path is None:
            return io.BytesIO(self._bytes)
        if self.path.suffix.lower() not in _PACKED:
            return self.path.open("rb")
        file = tempfile.SpooledTemporaryFile(max_size=1 << 26)
        try:
            with self.open() as stream:
                while part := stream.read(1 << 20):
                    file.write(part)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def _member(self, raw: IO[bytes]) -> IO[bytes]:
        with unpacking(self.name):
            archive = zipfile.ZipFile(raw)
            members = [m for m in archive.infolist() if not m.is_dir()]
            if len(members) == 1:
                return open_member(archive, members[0])
        raise FormatError(
            f"{self.name}: holds {len(members)} files; a packed recording is one file"
        )

    @property
    def head(self) -> bytes:
        """The first 4096 bytes, unpacked; fewer if the file ends earlier."""
        if self._head is None:
            with self.open() as stream:
                self._head = stream.read(_HEAD_BYTES)
        return self._head

    @property
    def first_rows(self) -> list[str]:
        """The head's lines as text, the last one perhaps cut off."""
        return self.head.decode("utf-8-sig", errors="replace").splitlines()


class Stream:
    """Bytes read in order; packed ones that end early end the stream.

    Attributes:
      damaged: Why unpacking stopped before its end, or "". What came before is good,
        so a reader keeps it and counts the damage.
      size: Of the whole stream; None if it is packed, because what a packed file
        says of its size cannot be trusted.
    """

    def __init__(self, *handles: Any, packed: bool = False):
        """Reads from the first handle; closes all."""
        self._handle, self._handles = handles[0], handles
        # In pieces as they are unpacked: damage then costs the last piece, where a
        # long read would lose all that had been unpacked for it.
        self._read = self._handle.read1 if packed else self._handle.read
        self.damaged = ""
        self.size: int | None = None
        if not packed:
            self.size = self._handle.seek(0, io.SEEK_END) or self._handle.tell()
            self._handle.seek(0)

    def read(self, size: int) -> bytes:
        """Reads `size` bytes unless the stream ends; buckets may answer with less."""
        parts = []
        while size > 0 and not self.damaged:
            try:
                part = self._read(size)
            except _DAMAGE as error:
                self.damaged = str(error) or type(error).__name__
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def read_all(self, limit: int | None = None) -> bytes:
        """Reads to the end.

        Args:
          limit: Most bytes to accept.

        Raises:
          FormatError: If there is more than `limit`.
        """
        parts, total = [], 0
        while part := self.read(1 << 20):
            parts.append(part)
            total += len(part)
            if limit is not None and total > limit:
                raise FormatError(f"unpacks to more than {limit:,} bytes")
        return b"".join(parts)

    def __enter__(self) -> "Stream":
        """Returns itself."""
        return self

    def __exit__(self, *_) -> None:
        """Closes the files."""
        for handle in self._handles:
            handle.close()
