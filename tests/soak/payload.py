"""Bodies that can be checked for completeness: random bytes, followed by their digest."""

from __future__ import annotations

import hashlib
import random

DIGEST = 64  # bytes at the end of every body


def make(size: int) -> bytes:
    """Return a body of `size` random bytes and their digest."""
    data = random.randbytes(size)
    return data + hashlib.sha256(data).hexdigest().encode()


def is_whole(body: bytes) -> bool:
    """Return whether a body is complete and unchanged."""
    return hashlib.sha256(body[:-DIGEST]).hexdigest().encode() == body[-DIGEST:]
