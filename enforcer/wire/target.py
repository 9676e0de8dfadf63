"""The request target (RFC 9112 §3.2): parsed once.

1. The target that was matched is forwarded: `Target.origin_form` is a slice of the client's bytes, never rebuilt.
2. Percent-encoding is decoded exactly once, only for matching. An encoded slash stays a byte of its segment.
3. A path that parsers read differently is marked as ambiguous; `readings` says in which ways. It is refused only if its
   readings lead to different rules (`policy.ambiguity`).
4. Refused before any rule is matched: bytes that no URI has, encoded NUL and line breaks, an incomplete
   percent-encoding, and a path that leads above the root.
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
# Printable ASCII, as nginx passes it; `#` would begin a fragment, which a request target does not have.
_PATH = re.compile(rb"(?:[!-\"$&->@-~]|%[0-9A-Fa-f]{2})*")
_REFUSED = re.compile(rb"%0[0ADad]")
_AMBIGUOUS = re.compile(rb"//|[\\;]|%(?:2[Ff]|5[Cc]|25|3[Bb]|3[Ff]|23|[01][0-9A-Fa-f]|7[Ff])")
_DOT_SEGMENT = re.compile(rb"/[. ]+(?:/|\Z)")  # an app may trim spaces
_CONTROL = re.compile("[\x80-\x9f]")
_ENCODED_SLASH = re.compile(rb"%2[Ff]")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)((?:/[^?#]*)?(?:\?[^#]*)?)")


class Target(NamedTuple):
    """A request target.

    `origin_form` is forwarded; `segments` are the decoded path segments, for matching (`/` is one empty segment);
    `query` is as sent, without `?`; `authority` is set if the client used the absolute form. If the path is
    `ambiguous`, `segments` are its plainest reading: split at slashes as sent, then decoded once.
    """

    origin_form: bytes
    segments: list[bytes]
    query: bytes
    authority: bytes | None
    ambiguous: bool = False

    @property
    def path(self) -> bytes:
        """The path as sent."""
        return self.origin_form.partition(b"?")[0]


_new: Final = tuple.__new__  # NamedTuple's own constructor calls it too, through a slower function


def parse(raw: bytes) -> Target:
    """Parse a request target; raises MalformedRequestError if it cannot be forwarded under any rule."""
    authority = None
    if not raw.startswith(b"/"):
        raw, authority = _absolute(raw)
    path, query = raw, b""
    # `find`, not `in`: on bytes, `in` first raises and catches an error to check whether its operand is a number.
    if raw.find(b"?") >= 0:
        path, _, query = raw.partition(b"?")
    ambiguous = False
    if path.translate(None, _PLAIN) or path.find(b"//") >= 0 or path.find(b"/.") >= 0:
        segments, ambiguous = read_path(path)
    else:
        segments = path.split(b"/")
        del segments[0]
    if query and query.translate(None, _QUERY):
        raise MalformedRequestError("request target", "the query has a byte that no URI has")
    return _new(Target, (raw, segments, query, authority, ambiguous))


def read_path(path: bytes) -> tuple[list[bytes], bool]:
    """Return the path segments, decoded once, and whether the path is ambiguous.

    Raises MalformedRequestError if the path is refused before any rule is matched.
    """
    # Each step reads the whole path at once: a client chooses how many segments there are.
    if not _PATH.fullmatch(path):
        raise MalformedRequestError("request target", "the path has a byte that no path segment has")
    if _REFUSED.search(path):
        raise MalformedRequestError("request target", "the path has an encoded NUL or line break")
    decoded = decode(path)
    dots = _DOT_SEGMENT.search(decoded) is not None
    if dots and _leads_above_root(decoded):
        raise MalformedRequestError("request target", "the path leads above the root")
    ambiguous = dots or _AMBIGUOUS.search(path) is not None
    try:
        ambiguous = ambiguous or _CONTROL.search(decoded.decode("utf-8")) is not None
    except UnicodeDecodeError:
        ambiguous = True
    if ambiguous and _ENCODED_SLASH.search(path):
        # No path that gets here contains NUL, which can therefore represent an encoded slash.
        segments = decode(_ENCODED_SLASH.sub(b"%00", path))[1:].split(b"/")
        return [segment.replace(b"\0", b"/") for segment in segments], True
    return decoded[1:].split(b"/"), ambiguous


def decode(path: bytes) -> bytes:
    """Decode percent-encoding once; every `%` must be part of one."""
    # In C: quoted-printable (RFC 2045 §6.7) is percent-encoding with another sign.
    return a2b_qp(path.replace(b"=", b"=3D").replace(b"%", b"="))


def _leads_above_root(decoded: bytes) -> bool:
    """Return whether a parser that merges slashes and resolves dot segments, such as nginx, refuses the path."""
    depth = 0
    for segment in decoded.split(b"/"):
        if segment == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif segment not in (b"", b"."):
            depth += 1
    return False


def _absolute(raw: bytes) -> tuple[bytes, bytes]:
    # RFC 9112 §3.2.2: a server accepts the absolute form, and uses its host
    match = _ABSOLUTE.fullmatch(raw)
    if match is None:
        raise MalformedRequestError("request target", "neither a path nor an http URI")
    authority, rest = match[1], match[2]
    if not HOST.fullmatch(authority):
        raise MalformedRequestError("request target", "the URI's host cannot be read")
    return (rest if rest[:1] == b"/" else b"/" + rest), authority
