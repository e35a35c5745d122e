"""TensorBoard events as bytes, so that the caller writes them and sees every failure.

tensorboardX's own writer hands events to a thread. On a full disk that thread dies, and
later calls wait for it forever.
"""

import functools
import struct
import time
from collections.abc import Mapping
from typing import Any


@functools.cache
def _library() -> tuple[Any, Any, Any]:
    # Where PyTorch is installed, tensorboardX imports it: seconds that commands which
    # write no events should not take.
    from tensorboardX import summary
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    return event_pb2, summary, masked_crc32c


def header(purge_step: int) -> bytes:
    """What a file starts with; hides points of earlier files from `purge_step` on."""
    proto, _, _ = _library()
    session = proto.SessionLog(status=proto.SessionLog.START)
    version = proto.Event(file_version="brain.Event:2")
    purge = proto.Event(step=purge_step, session_log=session)
    return _record(version) + _record(purge)


def scalars(step: int, values: Mapping[str, float]) -> bytes:
    """One point per value."""
    proto, summary, _ = _library()
    return b"".join(
        _record(proto.Event(step=step, summary=summary.scalar(name, value)))
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
    _, _, masked_crc32c = _library()
    return struct.pack("<I", masked_crc32c(data))
