"""What of a request goes on to the upstream (RFC 9110 §7.6): pure, and prepared at load.

1. Strip, then set: identity and forwarding fields of the client's are removed on every request, in every spelling that
   an app may fold into the same name, also where Connection lists them; then ours are set.
2. Framing is written by us alone, from what the parser read.
3. Only an `Allow` makes a request head.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, Final

from enforcer.policy.decision import Allow
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.tokens.introspection.response import ActiveToken
from enforcer.wire.fields import FOLD, HOP_BY_HOP, field_value, fold, parse_tokens, without

UPGRADES: Final = frozenset({b"websocket"})
"""Protocols that a connection may be switched to. Never h2c: its requests would pass unjudged."""


class Kind(IntEnum):
    """What is done with a field of a client's request."""

    PASS = 0
    DROP = 1
    HOST = 2
    AUTHORIZATION = 3
    CONTENT_LENGTH = 4
    TRANSFER_ENCODING = 5
    CONNECTION = 6
    UPGRADE = 7
    TE = 8
    EXPECT = 9
    CHAIN = 10  # X-Forwarded-* and Forwarded: dropped, or kept and added to where the peer is trusted
    MAX_FORWARDS = 11
    PROOF = 12  # DPoP: as Authorization, to which it belongs
    CERTIFICATE = 13  # Client-Cert: dropped, and read where the peer is trusted to have set it


_READ: Final = {
    b"host": Kind.HOST,
    b"authorization": Kind.AUTHORIZATION,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"connection": Kind.CONNECTION,
    b"upgrade": Kind.UPGRADE,
    b"te": Kind.TE,
    b"expect": Kind.EXPECT,
    b"dpop": Kind.PROOF,
    b"client-cert": Kind.CERTIFICATE,
    b"max-forwards": Kind.MAX_FORWARDS,
}
# Another target, method, client or user than what was judged: the app would answer another request than the one that
# was matched.
_OVERRIDES: Final = frozenset(
    {
        b"client-cert-chain",
        b"x-original-url",
        b"x-original-uri",
        b"x-original-path",
        b"x-original-method",
        b"x-original-host",
        b"x-original-forwarded-for",
        b"x-rewrite-url",
        b"x-rewrite-uri",
        b"x-override-url",
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
        b"x-host",
        b"x-real-ip",
        b"client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"wl-proxy-client-ip",
        b"x-forward-for",
        b"x-forwarder-for",
        b"x-originating-ip",
        b"x-proxyuser-ip",
        b"x-remote-addr",
        b"x-remote-ip",
        b"remote-user",
        b"x-remote-user",
        b"x-remote-group",
        b"x-remote-groups",
        b"proxy",  # a CGI-like app takes it for its environment's HTTP_PROXY
        b"http2-settings",
    }
)
_REMEMBERED: Final = 2048  # spellings of field names; more are looked at anew each time


class Kinds(dict[bytes, int]):
    """What is done with a field, by its name as the client spelt it; a new spelling is classified once."""

    def __init__(self, identity: Iterable[str]) -> None:
        super().__init__()
        self._identity = frozenset(fold(name) for name in identity)

    def __missing__(self, name: bytes) -> int:
        kind = int(self._classify(name))
        if len(self) < _REMEMBERED and len(name) <= 64:
            self[name] = kind
        return kind

    def _classify(self, name: bytes) -> Kind:
        folded = name.translate(FOLD)
        if folded in self._identity or folded in _OVERRIDES:
            return Kind.DROP
        special = folded in _READ or folded in HOP_BY_HOP
        chain = folded == b"forwarded" or folded.startswith(b"x-forwarded")
        if (special or chain) and name.lower() != folded:
            return Kind.DROP  # `Content_Length`: not the field, but an app may take it for it
        if chain:
            return Kind.CHAIN
        return _READ.get(folded, Kind.DROP if special else Kind.PASS)


class Forwarding:
    """The settings of forwarding, made ready."""

    def __init__(self, settings: ForwardingSettings) -> None:
        self.kinds = Kinds(settings.identity)
        self.pass_authorization = settings.authorization == "pass"
        self.client_cert = settings.client_cert
        self._chain = settings.chain
        self._identity = tuple((name.encode(), claim) for name, claim in settings.identity.items())
        self._trusted = tuple(ipaddress.ip_network(text, strict=False) for text in settings.trusted_proxies)

    def identity(self, answer: ActiveToken) -> bytes:
        """Write the identity fields of a token's holder; a claim that is not there makes no field."""
        lines = []
        for name, claim in self._identity:
            value = claim_text(answer, claim)
            if value is not None:
                lines.append(b"%b: %b\r\n" % (name, field_value(value)))
        return b"".join(lines)

    def trusts(self, address: str) -> bool:
        """Tell whether a peer's own forwarding fields are kept."""
        if not self._trusted:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self._trusted)

    def client_address(self, peer: str, chain: Iterable[bytes]) -> str:
        """Return the address farthest to the right of an X-Forwarded-For chain that is no trusted proxy's.

        What stands left of it, anybody may have written.
        """
        address = peer
        for text in reversed(b",".join(chain).decode("latin-1").split(",")):
            if not self.trusts(address):
                break
            address = _without_port(text.strip()) or address
        return address

    def chain(self, address: str, scheme: str, host: bytes, received: Mapping[bytes, list[bytes]]) -> bytes:
        """Write the fields that tell the upstream of the client and its way.

        `received` are the forwarding fields of a trusted peer by lower-case name; empty for everybody else. `host` is
        empty where an HTTP/1.0 client named none.
        """
        lines = []
        if self._chain == "x-forwarded":
            chain = [*received.get(b"x-forwarded-for", ()), address.encode()]
            lines.append(b"X-Forwarded-For: %b\r\n" % b", ".join(chain))
            for name, value in ((b"X-Forwarded-Proto", scheme.encode()), (b"X-Forwarded-Host", host)):
                theirs = received.get(name.lower())
                if theirs or value:
                    lines.append(b"%b: %b\r\n" % (name, theirs[-1] if theirs else value))
            for name, values in received.items():
                if name not in (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"):
                    lines.append(b"%b: %b\r\n" % (name, b", ".join(values)))
        elif self._chain == "forwarded":
            # RFC 7239 §4, §6: an IPv6 address is bracketed and quoted
            node = f'"[{address}]"' if ":" in address else address
            element = f"for={node};proto={scheme}".encode() + (b';host="%b"' % host if host else b"")
            lines.append(b"Forwarded: %b\r\n" % b", ".join([*received.get(b"forwarded", ()), element]))
        lines.append(b"Via: 1.1 enforcer\r\n")
        return b"".join(lines)


def _without_port(node: str) -> str:
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def claim_text(answer: ActiveToken, claim: str) -> str | None:
    """Return a claim as one text: a list's members joined by blanks, anything nested as JSON."""
    value: Any = answer.claims.get(claim)
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return " ".join(value)
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True)
    except RecursionError:
        return None  # nested as deep as could just be read: nobody's name


def request_head(
    permit: Allow, method: bytes, target: bytes, lines: list[bytes], chain: bytes, identity: bytes, framing: bytes
) -> bytes:
    """Write the head of the request that `permit` allows.

    `lines` are the client's field lines that pass, in pieces; `framing` are the lines that belong to this connection.
    """
    return b"%b %b HTTP/1.1\r\n%b%b%b%b\r\n" % (method, target, b"".join(lines), chain, identity, framing)


def without_listed(lines: list[bytes], options: Iterable[bytes]) -> list[bytes]:
    """Leave out the client's fields that Connection lists, but for those that are read here (RFC 9110 §7.6.1)."""
    named = frozenset(name for option in options for name in parse_tokens(option) or ()) - frozenset(_READ)
    return without(lines, named)


class _StatusLines(dict[tuple[int, bytes], bytes]):
    """The status line of an answer, by status and reason; a reason that cannot stand (RFC 9112 §4) is left out."""

    def __missing__(self, answer: tuple[int, bytes]) -> bytes:
        status, reason = answer
        line = b"HTTP/1.1 %d %b\r\n" % (status, b"" if reason.translate(None, _IN_REASON) else reason)
        if len(self) < _REMEMBERED and len(reason) <= 64:
            self[answer] = line
        return line


_IN_REASON: Final = b"\t" + bytes(byte for byte in range(0x20, 0x100) if byte != 0x7F)
STATUS_LINES: Final = _StatusLines()

_NOT_IN_TRAILERS: Final = frozenset(
    {b"content-encoding", b"content-type", b"content-range", b"cache-control", b"range", b"cookie"}
    | {b"set-cookie", b"age", b"expires", b"date", b"location", b"retry-after", b"vary", b"warning", b"trailer", b"via"}
    | {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"pragma"}
    | {b"www-authenticate"}
)


def trailers(lines: list[bytes], kinds: Kinds) -> list[bytes]:
    """Leave of a trailer section what may stand in one (RFC 9110 §6.5.1): nothing that frames, routes or identifies."""
    kept: list[bytes] = []
    for at in range(0, len(lines), 4):
        name = lines[at]
        if kinds[name] == Kind.PASS and name.translate(FOLD) not in _NOT_IN_TRAILERS:
            kept += lines[at : at + 4]
    return kept
