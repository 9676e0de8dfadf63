"""A request head as an immutable value, and the builder that reads it from the parser's events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from enforcer.errors import MalformedRequestError
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.forwarding import Forwarding, without_listed
from enforcer.proxy.messages.responses import Refusal
from enforcer.settings.forwarding import IGNORED_UPGRADES
from enforcer.settings.limits import Limits
from enforcer.wire.fields import HOST, MAX_MEMBERS, OWS, FieldKind, parse_tokens

SpecialFields = Mapping[int, Sequence[tuple[bytes, bytes]]]
"""The fields that need reading, by `FieldKind`: name and value as sent, in order."""

# Access to an enum's member runs Python code, which is too slow once per field.
_HOST: Final = int(FieldKind.HOST)
_AUTHORIZATION: Final = int(FieldKind.AUTHORIZATION)
_EXPECT: Final = int(FieldKind.EXPECT)
_CONNECTION: Final = int(FieldKind.CONNECTION)
_CONTENT_LENGTH: Final = int(FieldKind.CONTENT_LENGTH)
_MAX_FORWARDS: Final = int(FieldKind.MAX_FORWARDS)
_PROOF: Final = int(FieldKind.PROOF)
_TE: Final = int(FieldKind.TE)
_TRANSFER_ENCODING: Final = int(FieldKind.TRANSFER_ENCODING)
_UPGRADE: Final = int(FieldKind.UPGRADE)

_LENGTH_DIGITS: Final = 18

_PASSED: Final = (_EXPECT, int(FieldKind.DESTINATION), int(FieldKind.METHOD_OVERRIDE))
"""The fields that are read, and forwarded as they came."""

IDEMPOTENT: Final = frozenset(
    b"ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE GET HEAD LABEL LINK MERGE MKACTIVITY MKCALENDAR MKCOL "
    b"MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND "
    b"UNCHECKOUT UNLINK UPDATE UPDATEREDIRECTREF VERSION-CONTROL".split()
)
"""The methods that IANA's registry calls idempotent (RFC 9110 §9.2.2): a server that gets such a request twice does no
more than for one."""
_REPEATABLE_BODY: Final = 16 * 1024
"""Bytes of a body that are held to send it again; a larger one is streamed and gone. Bounds memory."""


_COPIES: Final = 3
"""Copies of a head while it is answered: its fields, the request that is made of them, and the token on its way."""


def extend_held(body: bytearray | None, data: bytes) -> bytearray | None:
    """Return what is held of a body, to send it again, with its next piece; None if it is too large, or was before."""
    if body is None or len(body) + len(data) > _REPEATABLE_BODY:
        return None
    body += data
    return body


class RequestHead:
    """One request head. It is built once and not written to afterwards.

    - `target`: the request target as sent; `host`: the value of Host, empty if an HTTP/1.0 client sent none.
    - `lines`: the field lines that may be forwarded, in pieces: name, `b": "`, value, `b"\\r\\n"`.
    - `framing`: the field lines that belong to the connection to the upstream, written by us.
    - `length`: the number of bytes of the body that `framing` announces, 0 if it has none or is chunked.
    - `special`: the fields that need reading, None in the common case that there are none.
    - `authorization`: the value of Authorization; `authorizations`: the number of such fields.
    - `http10`: the client speaks HTTP/1.0. `upgrade`: the protocol asked for, if it is permitted.
    - `last_hop`: OPTIONS or TRACE with `Max-Forwards: 0`, which must not be forwarded.
    - `refusal`: the response if the head is not valid.
    """

    __slots__ = (
        "authorization", "authorizations", "chunked", "expects_continue", "framing", "has_body", "host", "http10",
        "keep_alive", "last_hop", "length", "lines", "method", "refusal", "special", "target", "upgrade",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        target: bytes,
        host: bytes,
        lines: list[bytes],
        *,
        authorization: bytes | None = None,
        authorizations: int = 0,
        special: SpecialFields | None = None,
        framing: bytes = b"",
        length: int = 0,
        keep_alive: bool = False,
        http10: bool = False,
        has_body: bool = False,
        chunked: bool = False,
        upgrade: bytes | None = None,
        last_hop: bool = False,
        refusal: Refusal | None = None,
    ) -> None:
        self.method: Final = method
        self.target: Final = target
        self.host: Final = host
        self.lines: Final = lines
        self.authorization: Final = authorization
        self.authorizations: Final = authorizations
        self.special: Final = special
        self.framing: Final = framing
        self.length: Final = length
        self.keep_alive: Final = keep_alive
        self.http10: Final = http10
        self.has_body: Final = has_body
        self.chunked: Final = chunked
        self.upgrade: Final = upgrade
        self.last_hop: Final = last_hop
        self.refusal: Final = refusal
        # RFC 9110 §10.1.1: an HTTP/1.0 client's expectation is ignored
        self.expects_continue: Final = special is not None and _EXPECT in special and not http10

    @property
    def memory(self) -> int:
        """Bytes that it takes, with all copies."""
        return _COPIES * (len(self.target) + sum(map(len, self.lines)) + len(self.authorization or b""))


def unreadable(refusal: Refusal) -> RequestHead:
    """Return the head of a request that could not be read: only its response is known."""
    return RequestHead(b"", b"", b"", [], refusal=refusal)


class HeadBuilder:
    """Collects one request head from the parser's events, and trailers after it.

    It belongs to one connection. `forwarding` are the settings that the head is read by; they stay the same until
    `start` is called for the next head.
    """

    __slots__ = (
        "_authorization", "_authorizations", "_host", "_hosts", "_kinds", "_special", "_valid_host",
        "forwarding", "lines", "target",
    )  # fmt: skip

    def __init__(self, forwarding: Forwarding) -> None:
        self._valid_host: bytes | None = None
        """The last Host that was valid: mostly the next request has the same, which then needs no reading."""
        self.start(forwarding)

    def start(self, forwarding: Forwarding) -> None:
        """Forget everything, and read the next head by these settings."""
        self.forwarding = forwarding
        self._kinds = forwarding.kinds
        self.target = self._host = b""
        self.lines: list[bytes] = []
        self._special: dict[int, list[tuple[bytes, bytes]]] | None = None
        self._authorization: bytes | None = None
        self._hosts = self._authorizations = 0

    @property
    def size(self) -> int:
        """Number of bytes read so far."""
        special = self._special or {}
        apart = sum(len(name) + len(value) for fields in special.values() for name, value in fields)
        return len(self.target) + sum(map(len, self.lines)) + apart

    def on_url(self, part: bytes) -> None:
        """Take a part of the request target."""
        self.target = self.target + part if self.target else part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head or of the trailer section: one look-up, everything else was prepared at load."""
        kind = self._kinds[name]
        if not kind:
            self.lines += (name, b": ", value, b"\r\n")
        elif kind == _HOST:
            self._host = value if value == self._valid_host else value.rstrip()
            self._hosts += 1
            self.lines += (name, b": ", value, b"\r\n")
        elif kind == _AUTHORIZATION:
            self._authorization = value
            self._authorizations += 1
            if self.forwarding.pass_authorization:
                self.lines += (name, b": ", value, b"\r\n")
        else:
            if self._special is None:
                self._special = {}
            self._special.setdefault(kind, []).append((name, value))

    def build(self, method: bytes, keep_alive: bool, limits: Limits, oversize: bool) -> RequestHead | None:
        """Return the head in the common case, None if it needs `build_special`.

        The common case is a connection that stays open, no special field, and the Host of an earlier request: such a
        request is HTTP/1.1, has no Connection field and no body. `oversize`: the head may be larger than the limit.
        """
        if self._special is not None or not keep_alive or self._hosts != 1 or self._host != self._valid_host:
            return None
        target, lines, refusal = self.target, self.lines, None
        if oversize or len(target) > limits.target or len(lines) > limits.fields * 4:
            refusal = self._exceeded(limits, oversize)
        return RequestHead(
            method,
            target,
            self._host,
            lines,
            authorization=self._authorization,
            authorizations=self._authorizations,
            keep_alive=True,
            refusal=refusal,
        )

    def build_special(
        self, method: bytes, keep_alive: bool, limits: Limits, oversize: bool, version: str, upgrades: bool
    ) -> RequestHead:
        """Return the head, with version, Host, framing and special fields read.

        `version` is the HTTP version ("1.1"); `upgrades`: Connection lists `upgrade`, and there is an Upgrade field.
        """
        special: SpecialFields = self._special or {}
        lines = self.lines
        http10 = has_body = chunked = last_hop = False
        framing, length, upgrade = b"", 0, None
        refusal: Refusal | None = None
        if len(lines) // 4 + sum(map(len, special.values())) > limits.fields:
            refusal = responses.HEAD_TOO_LARGE
        else:
            http10 = version == "1.0"
            try:
                self._check_version_and_host(version)
                framing, has_body, chunked, length = _read_framing(special, http10)
                if length > limits.body:
                    refusal = responses.TOO_LARGE
                hops, last_hop = _read_hops(method, special)
                lines = self._forwarded_lines(hops, special)
                if upgrades and not http10:
                    upgrade = _read_upgrade(special, self.forwarding.upgrades, has_body, chunked)
                framing += _own_connection_lines(special, upgrade)
            except MalformedRequestError as error:
                refusal = responses.malformed(str(error), error.status)
        return RequestHead(
            method,
            self.target,
            self._host,
            lines,
            authorization=self._authorization,
            authorizations=self._authorizations,
            special=self._special,
            framing=framing,
            length=length,
            keep_alive=keep_alive,
            http10=http10,
            has_body=has_body,
            chunked=chunked,
            upgrade=upgrade,
            last_hop=last_hop,
            refusal=self._exceeded(limits, oversize) or refusal,
        )

    def _exceeded(self, limits: Limits, oversize: bool) -> Refusal | None:
        if len(self.target) > limits.target:
            return responses.TARGET_TOO_LONG
        if len(self.lines) > limits.fields * 4 or (oversize and self.size > limits.head):
            return responses.HEAD_TOO_LARGE
        return None

    def _check_version_and_host(self, version: str) -> None:
        if version not in ("1.0", "1.1"):
            raise MalformedRequestError("request line", "not HTTP/1.1 or HTTP/1.0", 505)
        if self._hosts > 1:
            raise MalformedRequestError("Host", "more than one")
        if self._hosts == 0:
            # RFC 9112 §3.2: HTTP/1.1 requires one. HTTP/1.0 does not know it: the upstream then gets its own.
            if version == "1.1":
                raise MalformedRequestError("Host", "missing")
        elif self._host != self._valid_host:
            if not HOST.fullmatch(self._host):
                raise MalformedRequestError("Host", "not a host")
            self._valid_host = self._host

    def _forwarded_lines(self, hops: Sequence[bytes], special: SpecialFields) -> list[bytes]:
        added = [*hops]
        if self.forwarding.pass_authorization:
            for name, value in special.get(_PROOF, ()):
                added += (name, b": ", value, b"\r\n")
        for kind in _PASSED:
            for name, value in special.get(kind, ()):
                added += (name, b": ", value, b"\r\n")
        lines = [*self.lines, *added] if added else self.lines
        fields = special.get(_CONNECTION)
        if fields is None:
            return lines
        # All fields as one list, so that its limit holds for them together.
        options = parse_tokens(b",".join([value for _, value in fields]))
        if options is None:
            raise MalformedRequestError("Connection", "not a list of options")
        return without_listed(lines, options)


def _read_framing(special: SpecialFields, http10: bool) -> tuple[bytes, bool, bool, int]:
    """Return our framing line, whether there is a body, whether it is chunked, and its length if that is known."""
    codings = special.get(_TRANSFER_ENCODING)
    lengths = special.get(_CONTENT_LENGTH)
    if codings is not None:
        # RFC 9112 §6.1: HTTP/1.0 has no transfer codings. Both fields together are how requests are smuggled.
        if http10 or lengths is not None:
            raise MalformedRequestError("Transfer-Encoding", "not beside Content-Length, nor in HTTP/1.0")
        if len(codings) != 1 or codings[0][1].strip(OWS).lower() != b"chunked":
            raise MalformedRequestError("Transfer-Encoding", "other than chunked", 501)
        return b"Transfer-Encoding: chunked\r\n", True, True, 0
    if lengths is None:
        return b"", False, False, 0
    digits = lengths[0][1].strip(OWS)
    if len(lengths) != 1 or not digits.isdigit() or len(digits) > _LENGTH_DIGITS:
        raise MalformedRequestError("Content-Length", "not one number")
    length = int(digits)
    return b"Content-Length: %d\r\n" % length, length > 0, False, length


def _read_hops(method: bytes, special: SpecialFields) -> tuple[list[bytes], bool]:
    """Return the Max-Forwards line to forward (RFC 9110 §7.6.2), and whether this is the last hop."""
    fields = special.get(_MAX_FORWARDS)
    if fields is None:
        return [], False
    if method not in (b"OPTIONS", b"TRACE"):
        return [piece for name, value in fields for piece in (name, b": ", value, b"\r\n")], False
    digits = fields[0][1].strip(OWS)
    if len(fields) != 1 or not digits.isdigit():
        raise MalformedRequestError("Max-Forwards", "not one number")
    left = int(digits[:_LENGTH_DIGITS])  # a longer number is as good as the largest of that many digits
    return [b"Max-Forwards", b": ", b"%d" % max(left - 1, 0), b"\r\n"], left == 0


def _read_upgrade(special: SpecialFields, permitted: frozenset[bytes], has_body: bool, chunked: bool) -> bytes | None:
    """Return the first protocol that the client asks for and may have; None if the request is an ordinary one.

    Raises MalformedRequestError if it asks only for others. A request for a WebSocket has no body (RFC 6455 §4.1).
    """
    offered = b",".join([value for _, value in special.get(_UPGRADE, ())]).lower().split(b",")
    protocols = [protocol for part in offered[:MAX_MEMBERS] if (protocol := part.strip(OWS))]
    for protocol in protocols:
        if protocol in permitted:
            if has_body and protocol == b"websocket":
                return None
            if chunked:
                raise MalformedRequestError("Upgrade", "not beside a chunked body", 501)
            return protocol
    if all(IGNORED_UPGRADES.fullmatch(protocol.decode("latin-1")) for protocol in protocols):
        return None
    raise MalformedRequestError("Upgrade", "no protocol that may be used here", 501)


def _own_connection_lines(special: SpecialFields, upgrade: bytes | None) -> bytes:
    """Return TE, Upgrade and Connection for the connection to the upstream."""
    lines, options = b"", []
    fields = special.get(_TE)
    if fields is not None and b"trailers" in (parse_tokens(b",".join([value for _, value in fields])) or ()):
        lines += b"TE: trailers\r\n"
        options.append(b"TE")
    if upgrade is not None:
        lines += b"Upgrade: %b\r\n" % upgrade
        options.append(b"Upgrade")
    return lines + (b"Connection: %b\r\n" % b", ".join(options) if options else b"")
