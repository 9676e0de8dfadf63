"""Bodies that tell whether they are whole: random bytes, and the digest of these at the end."""

from __future__ import annotations

import hashlib
import random

DIGEST = 64  # bytes at the end of every body


def make(size: int) -> bytes:
    """Make a body of so many bytes and its digest."""
    data = random.randbytes(size)
    return data + hashlib.sha256(data).hexdigest().encode()


def is_whole(body: bytes) -> bool:
    """Tell whether nothing of a body is missing or changed."""
    return hashlib.sha256(body[:-DIGEST]).hexdigest().encode() == body[-DIGEST:]
