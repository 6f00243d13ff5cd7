"""Identifiers made in the application: time-ordered UUIDs for our own rows."""

import os
import time
from uuid import UUID

_last = 0  # the newest 60-bit timestamp given out by this process


def uuid7() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits of their fraction, 62 random bits.

    Ids made one after another by one process sort in the order they were made, also within one clock tick.
    """
    global _last  # noqa: PLW0603 - the order of ids is a property of the process
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    stamp = (milliseconds << 12) | (rest * 4096 // 1_000_000)
    _last = stamp = max(stamp, _last + 1)
    random = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=(stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | random)
