"""Which request id and which path may be recorded: none that reveals the token or the query. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from random import getrandbits
from typing import Final
from urllib.parse import unquote_to_bytes

from enforcer.wire.fields import OWS
from enforcer.wire.target import read_path

_PLAIN: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_REVEALING: Final = 8
"""Minimum length in bytes at which a text that is also part of the credentials may be a secret."""
HIDDEN_PATH: Final = b"/[hidden]"
"""The recorded path if the path reveals the token."""
_MAX_TEXTS: Final = 64
_MAX_COMPARED: Final = 128 * 1024
"""Maximum size of the comparison: so many texts, and so many bytes, such as a token of 8 KiB with 16. Bounds work."""

_MAX_CREDENTIALS: Final = 8
"""Maximum number of credentials that texts are compared with: no client sends as many. Bounds work."""
UNKNOWN_CREDENTIALS: Final = (b"",) * (_MAX_CREDENTIALS + 1)
"""Credentials that were not read, because there are too many: any text may reveal them."""
_MAX_UNREAD: Final = 256
"""Maximum size of the recorded part of an unread path, and of a path that is decoded more than once. Bounds work."""
_ENCODED: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_ESCAPES: Final = {byte: f"\\x{byte:02x}" for byte in range(256) if not 0x20 < byte < 0x7F}


def make_request_id() -> bytes:
    """Return a new request id."""
    return b"%016x" % getrandbits(64)


def sent_request_id(lines: Sequence[bytes], target: bytes, credentials: Sequence[bytes]) -> bytes | None:
    """Return the client's own X-Request-Id if it sent exactly one that is plain and reveals no secret.

    `lines` are the request's field lines in pieces (name, `b": "`, value, `b"\\r\\n"`); `target` is its request target;
    `credentials` are the value of Authorization, and tokens in other places.
    """
    request_id: bytes | None = None
    for index in range(0, len(lines), 4):
        if lines[index].lower() == b"x-request-id":
            if request_id is not None:
                return None
            request_id = lines[index + 2]
    if request_id is None or not _PLAIN.fullmatch(request_id):
        return None
    in_target = len(request_id) >= _REVEALING and request_id in target
    return None if in_target or _reveals(request_id, credentials) else request_id


def recorded_path(target: bytes, segments: Sequence[bytes], credentials: Sequence[bytes]) -> bytes:
    """Return the path of a request as sent, without its query; `HIDDEN_PATH` if it or a segment reveals the token.

    It is also hidden if there is more to compare than any real request has: a client chooses the sizes of both.
    """
    path = target.partition(b"?")[0]
    if not credentials:
        return path
    texts: tuple[bytes, ...] = (path, *segments) if len(segments) < _MAX_TEXTS else ()
    if path.find(b"%25") >= 0:
        decoded = _decoded_to_the_end(path)
        texts = () if decoded is None else (*texts, decoded, *decoded.split(b"/", _MAX_TEXTS))
    compared = len(texts) * sum(map(len, credentials))
    if 0 < compared <= _MAX_COMPARED and not any(_reveals(text, credentials) for text in texts):
        return path
    return HIDDEN_PATH


def unread_path(target: bytes, credentials: Sequence[bytes]) -> bytes:
    """Return the beginning of a target that was refused unread, as text for people; `HIDDEN_PATH` as above.

    Without query and fragment, at most `_MAX_UNREAD` bytes; a byte that is not printable ASCII is written as `\\xNN`.
    Of an absolute URI only the path, because the authority may contain a password; empty if it has no path.
    """
    path = target.partition(b"?")[0].partition(b"#")[0]
    if not path.startswith(b"/"):
        _, slash, rest = path.partition(b"://")[2].partition(b"/")
        path = slash + rest
    if credentials:
        # All of the path is compared, because the part that is recorded may have only a part of the token.
        decoded = _decoded_to_the_end(path)
        if decoded is None:
            return HIDDEN_PATH
        path = recorded_path(path, [decoded, *decoded.split(b"/")], credentials)
    shown = path[:_MAX_UNREAD]
    return shown.decode("latin-1").translate(_ESCAPES).encode()


def _decoded_to_the_end(path: bytes) -> bytes | None:
    """Return a path decoded as often as possible; None if that is more work than any real path makes."""
    decoded = unquote_to_bytes(path)
    while len(decoded) <= _MAX_UNREAD and _ENCODED.search(decoded):
        decoded = unquote_to_bytes(decoded)
    return None if _ENCODED.search(decoded) else decoded


def recorded_host(host: bytes, credentials: Sequence[bytes]) -> bytes:
    """Return the value of Host; empty if it is longer than a name can be, or reveals the token."""
    return b"" if len(host) > _MAX_UNREAD or _reveals(host, credentials) else host


def recorded_segments(path: bytes, count: int) -> Sequence[bytes]:
    """Return the decoded segments of a recorded path; of a hidden one, `count` hidden segments."""
    return [HIDDEN_PATH[1:]] * count if path == HIDDEN_PATH else read_path(path)[0]


def reveals_any(texts: Iterable[bytes], credentials: Sequence[bytes]) -> bool:
    """Return whether one of the texts may reveal the token."""
    return any(_reveals(text, credentials) for text in texts)


def _reveals(text: bytes, credentials: Sequence[bytes]) -> bool:
    if len(text) < _REVEALING:
        return False
    if len(credentials) > _MAX_CREDENTIALS:
        return True
    for value in credentials:
        token = value.rstrip(OWS).rpartition(b" ")[2]
        if text in value or (len(token) >= _REVEALING and token in text):
            return True
    return False
