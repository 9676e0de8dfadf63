"""The request target (RFC 9112 §3.2): parsed once, or refused if parsers could read it differently.

1. The target that was matched is forwarded: `Target.origin_form` is a slice of the client's bytes, never rebuilt.
2. A path that two parsers could read differently is refused before any rule is matched: empty and dot segments,
   encoded or not; backslash; `;` (servlet containers cut path parameters away); an encoded delimiter
   (`/ \\ % ? # ;`), control byte or NUL; a byte that neither RFC 3986's pchar nor a browser's URL has; percent-encoding
   that is not UTF-8.
3. The remaining percent-encoding is decoded exactly once, only for matching.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from typing import Final, NamedTuple

from enforcer.errors import MalformedRequestError
from enforcer.wire.fields import HOST

# RFC 3986 §3.3: pchar without `;` and percent-encoding. `[ ] | ^ { }` are not in it, but browsers (WHATWG URL) and HTTP
# libraries send some of them as they are, and every parser reads them as themselves.
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@[]|^{}/"
# RFC 3986 §3.4, and what browsers leave unencoded in a query
_QUERY = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
_PATH = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,=:@\[\]|^{}/]|%[0-9A-Fa-f]{2})*")
_AMBIGUOUS = re.compile(rb"%(?:2[Ee]|2[Ff]|5[Cc]|25|3[Bb]|3[Ff]|23|[01][0-9A-Fa-f]|7[Ff])")
_DOT_SEGMENT = re.compile(rb"/[. ]+(?:/|\Z)")  # an app may trim spaces
_CONTROL = re.compile("[\x80-\x9f]")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)((?:/[^?#]*)?(?:\?[^#]*)?)")


class Target(NamedTuple):
    """An unambiguous request target.

    `origin_form` is forwarded; `segments` are the decoded path segments, for matching (`/` is one empty segment);
    `query` is as sent, without `?`; `authority` is set if the client used the absolute form.
    """

    origin_form: bytes
    segments: list[bytes]
    query: bytes
    authority: bytes | None


_new: Final = tuple.__new__  # NamedTuple's own constructor calls it too, through a slower function


def parse(raw: bytes) -> Target:
    """Parse a request target; raises MalformedRequestError if it is ambiguous or not a path."""
    authority = None
    if not raw.startswith(b"/"):
        raw, authority = _absolute(raw)
    path, query = raw, b""
    # `find`, not `in`: on bytes, `in` first raises and catches an error to check whether its operand is a number.
    if raw.find(b"?") >= 0:
        path, _, query = raw.partition(b"?")
    if path.translate(None, _PLAIN) or path.find(b"//") >= 0 or path.find(b"/.") >= 0:
        segments = parse_segments(path)
    else:
        segments = path.split(b"/")
        del segments[0]
    if query and query.translate(None, _QUERY):
        raise MalformedRequestError("request target", "the query has a byte that no URI has")
    return _new(Target, (raw, segments, query, authority))


def parse_segments(path: bytes) -> list[bytes]:
    """Parse and decode the path segments; raises MalformedRequestError if the path is ambiguous."""
    # Each step reads the whole path at once: a client chooses how many segments there are.
    if b"//" in path:
        raise MalformedRequestError("request target", "the path has an empty segment")
    if not _PATH.fullmatch(path):
        raise MalformedRequestError("request target", "the path has a byte that no path segment has")
    if _AMBIGUOUS.search(path):
        raise MalformedRequestError("request target", "the path has an encoded dot, delimiter or control byte")
    # In C: quoted-printable (RFC 2045 §6.7) is percent-encoding with another sign.
    decoded = a2b_qp(path.replace(b"=", b"=3D").replace(b"%", b"="))
    if _DOT_SEGMENT.search(decoded):
        raise MalformedRequestError("request target", "the path has a dot segment")
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequestError("request target", "the path's percent-encoding is not UTF-8") from None
    if _CONTROL.search(text):
        raise MalformedRequestError("request target", "the path has an encoded control character")
    return decoded[1:].split(b"/")


def _absolute(raw: bytes) -> tuple[bytes, bytes]:
    # RFC 9112 §3.2.2: a server accepts the absolute form, and uses its host
    match = _ABSOLUTE.fullmatch(raw)
    if match is None:
        raise MalformedRequestError("request target", "neither a path nor an http URI")
    authority, rest = match[1], match[2]
    if not HOST.fullmatch(authority):
        raise MalformedRequestError("request target", "the URI's host cannot be read")
    return (rest if rest[:1] == b"/" else b"/" + rest), authority
