"""TensorBoard events as bytes, so that the caller writes them and sees every failure.

tensorboardX's own writer hands events to a thread. On a full disk that thread dies, and
later calls wait for it forever.
"""

import struct
import time
from collections.abc import Mapping
from typing import Any

from tensorboardX import summary
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

# Its classes are made at run time; type checkers do not see them.
_proto: Any = event_pb2


def header(purge_step: int) -> bytes:
    """What a file starts with; hides points of earlier files from `purge_step` on."""
    session = _proto.SessionLog(status=_proto.SessionLog.START)
    version = _proto.Event(file_version="brain.Event:2")
    purge = _proto.Event(step=purge_step, session_log=session)
    return _record(version) + _record(purge)


def scalars(step: int, values: Mapping[str, float]) -> bytes:
    """One point per value."""
    return b"".join(
        _record(_proto.Event(step=step, summary=summary.scalar(name, value)))
        for name, value in values.items()
    )


def _record(event: Any) -> bytes:
    """TFRecord: length, data, and a checksum after each."""
    event.wall_time = time.time()
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    parts = (length, _checksum(length), data, _checksum(data))
    return b"".join(parts)


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))
