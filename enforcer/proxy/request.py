"""A request's head as a value, and the careful reading of all in it that is not the common case. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from enforcer.errors import MalformedRequestError
from enforcer.proxy import refusals
from enforcer.proxy.forwarding import UPGRADES, Kind, without_listed
from enforcer.proxy.refusals import Refusal
from enforcer.wire.fields import HOST, OWS, parse_tokens

if TYPE_CHECKING:
    from enforcer.proxy.snapshot import Snapshot

Rare = Mapping[int, Sequence[tuple[bytes, bytes]]]
"""Fields that need reading, by `Kind`: name and value as sent, in order."""

_LENGTH_DIGITS: Final = 18


class RequestHead:
    """A request's head as it was read.

    `lines` are the field lines that pass, in pieces; `rare` the fields that need reading; `chain` and `framing` are
    whole lines of ours; `body_left` are the bytes that a body may still have; `old` is HTTP/1.0; `upgrade` the protocol
    asked for, where it is one that may be; `refusal` the answer where the head cannot stand.
    """

    __slots__ = (
        "authorization",
        "authorizations",
        "body_left",
        "chain",
        "chunked",
        "framing",
        "has_body",
        "host",
        "hosts",
        "keep_alive",
        "lines",
        "method",
        "old",
        "rare",
        "refusal",
        "snapshot",
        "target",
        "upgrade",
    )

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.method = self.target = self.host = self.chain = self.framing = b""
        self.lines: list[bytes] = []
        self.rare: dict[int, list[tuple[bytes, bytes]]] | None = None
        self.authorization: bytes | None = None
        self.hosts = self.authorizations = self.body_left = 0
        self.keep_alive = self.chunked = self.has_body = self.old = False
        self.upgrade: bytes | None = None
        self.refusal: Refusal | None = None

    @property
    def size(self) -> int:
        """Bytes of it that are known so far."""
        rare = self.rare or {}
        aside = sum(len(name) + len(value) for fields in rare.values() for name, value in fields)
        return len(self.target) + sum(map(len, self.lines)) + aside


def unreadable(snapshot: Snapshot, refusal: Refusal) -> RequestHead:
    """Make the head of a request that could not be read: all that is known is how it is answered."""
    request = RequestHead(snapshot)
    request.refusal = refusal
    return request


def complete(request: RequestHead, version: str, asks_upgrade: bool) -> bool:
    """Read what the common case has not: version, Host, framing, and the fields in `rare`.

    Sets `refusal` where the head cannot stand. `asks_upgrade`: Connection and Upgrade belong together. Tells whether
    the request may go no further, so that its answer is ours.
    """
    rare: Rare = request.rare or {}
    if len(request.lines) // 4 + sum(map(len, rare.values())) > request.snapshot.limits.fields:
        request.refusal = refusals.HEAD_TOO_LARGE
        return False
    request.body_left = request.snapshot.limits.body
    try:
        _version_and_host(request, version)
        _framing(request, rare)
        last = _count_hop(request, rare)
    except MalformedRequestError as error:
        request.refusal = refusals.malformed(str(error), error.status)
        return False
    proofs = rare.get(Kind.PROOF, ()) if request.snapshot.forwarding.pass_authorization else ()
    for name, value in (*rare.get(Kind.EXPECT, ()), *proofs):
        request.lines += (name, b": ", value, b"\r\n")
    options = [value for _, value in rare.get(Kind.CONNECTION, ())]
    if any(parse_tokens(value) is None for value in options):
        request.refusal = refusals.malformed("Connection: not a list of options")
        return False
    if options:
        request.lines = without_listed(request.lines, options)
    own = []
    if any(b"trailers" in (parse_tokens(value) or ()) for _, value in rare.get(Kind.TE, ())):
        request.framing += b"TE: trailers\r\n"
        own.append(b"TE")
    if asks_upgrade and not request.has_body and not request.old:
        protocols = [value.strip(OWS).lower() for _, value in rare.get(Kind.UPGRADE, ())]
        if len(protocols) == 1 and protocols[0] in UPGRADES:
            request.upgrade = protocols[0]
            request.framing += b"Upgrade: %b\r\n" % protocols[0]
            own.append(b"Upgrade")
    if own:
        request.framing += b"Connection: %b\r\n" % b", ".join(own)
    return last


def preflight(request: RequestHead) -> bytes | None:
    """Return the method that a CORS preflight asks for (Fetch §3.3.2); None where the request is none.

    It has Origin and Access-Control-Request-Method, and neither credentials nor content.
    """
    if request.method != b"OPTIONS" or request.authorizations or request.has_body or request.upgrade is not None:
        return None
    lines = request.lines
    found: dict[bytes, list[bytes]] = {name: [] for name in _OF_PREFLIGHT}
    for at in range(0, len(lines), 4):
        name = lines[at].lower()
        if name in found:
            found[name].append(lines[at + 2].strip(OWS))
    asked = found[b"access-control-request-method"]
    return asked[0] if len(asked) == 1 and len(found[b"origin"]) == 1 else None


_OF_PREFLIGHT: Final = (b"origin", b"access-control-request-method")


def _version_and_host(request: RequestHead, version: str) -> None:
    request.old = version == "1.0"
    if not request.old and version != "1.1":
        raise MalformedRequestError("request line", "not HTTP/1.1 or HTTP/1.0", 505)
    if request.hosts > 1:
        raise MalformedRequestError("Host", "more than one")
    if request.hosts == 0:
        # RFC 9112 §3.2: HTTP/1.1 has one; to HTTP/1.0 it was unknown, and its upstream is named when that is known
        if not request.old:
            raise MalformedRequestError("Host", "missing")
    elif not HOST.fullmatch(request.host):
        raise MalformedRequestError("Host", "not a host")


def _framing(request: RequestHead, rare: Rare) -> None:
    coding = rare.get(Kind.TRANSFER_ENCODING)
    length = rare.get(Kind.CONTENT_LENGTH)
    if coding is not None:
        # RFC 9112 §6.1: HTTP/1.0 knows no transfer coding; both fields together are how requests are smuggled
        if request.old or length is not None:
            raise MalformedRequestError("Transfer-Encoding", "not beside Content-Length, nor in HTTP/1.0")
        if len(coding) != 1 or coding[0][1].strip(OWS).lower() != b"chunked":
            raise MalformedRequestError("Transfer-Encoding", "other than chunked", 501)
        request.chunked = request.has_body = True
        request.framing = b"Transfer-Encoding: chunked\r\n"
    elif length is not None:
        digits = length[0][1].strip(OWS)
        if len(length) != 1 or not digits.isdigit() or len(digits) > _LENGTH_DIGITS:
            raise MalformedRequestError("Content-Length", "not one number")
        request.has_body = int(digits) > 0
        request.framing = b"Content-Length: %d\r\n" % int(digits)
        if int(digits) > request.snapshot.limits.body:
            request.refusal = refusals.TOO_LARGE


def _count_hop(request: RequestHead, rare: Rare) -> bool:
    """Count one hop of those that the client allows (RFC 9110 §7.6.2); tells whether it was the last."""
    fields = rare.get(Kind.MAX_FORWARDS)
    if fields is None:
        return False
    if request.method not in (b"OPTIONS", b"TRACE"):
        for name, value in fields:
            request.lines += (name, b": ", value, b"\r\n")
        return False
    digits = fields[0][1].strip(OWS)
    if len(fields) != 1 or not digits.isdigit():
        raise MalformedRequestError("Max-Forwards", "not one number")
    # A number that is larger than anybody counts is as good as the largest that is counted.
    left = int(digits[:_LENGTH_DIGITS])
    request.lines += (b"Max-Forwards", b": ", b"%d" % max(left - 1, 0), b"\r\n")
    return left == 0
