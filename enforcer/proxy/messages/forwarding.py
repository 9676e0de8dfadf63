"""Forwarding: which header fields go on to the upstream (RFC 9110 §7.6). Pure, and prepared at load.

1. Strip, then set: the client's own identity and forwarding fields are removed from every request, in every spelling
   that an app may fold into the same name, also if Connection lists them. Then ours are set.
2. Framing is written only by us, from what the parser read.
3. Only an `Allow` can make a request head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from enforcer.clients import Networks, client_key
from enforcer.policy.decision import Allow
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.tokens.claims import ActiveToken, name_and_path
from enforcer.tokens.identity import identity_value
from enforcer.wire.fields import FOLD, READ_FIELDS, FieldKind, field_kind, fold, without

_CACHED: Final = 2048
"""Maximum number of entries of each cache below. Bounds memory; a full one starts again."""


_MAX_PROXIES: Final = 32
"""Maximum number of addresses of X-Forwarded-For that are compared with the trusted proxies. Bounds work."""


class FieldKinds(dict[bytes, int]):
    """The kind of a field by its name as the client spelled it; each spelling is classified once."""

    def __init__(self, identity: Iterable[str]) -> None:
        super().__init__()
        self._identity = frozenset(fold(name) for name in identity)

    def __missing__(self, name: bytes) -> int:
        kind = int(self._classify(name))
        if len(name) <= 64:
            if len(self) >= _CACHED:
                self.clear()  # a client that fills it with invented names must not keep others' names out of it
            self[name] = kind
        return kind

    def _classify(self, name: bytes) -> FieldKind:
        return FieldKind.DROP if name.translate(FOLD) in self._identity else field_kind(name)


class Forwarding:
    """The forwarding settings, ready for use."""

    def __init__(self, settings: ForwardingSettings) -> None:
        self.kinds = FieldKinds(settings.identity)
        self.pass_authorization = settings.authorization == "pass"
        self.client_cert = settings.client_cert
        self.upgrades = frozenset(protocol.encode() for protocol in settings.upgrades)
        self._senders: dict[tuple[str, bytes], tuple[str, str]] = {}
        self._style = settings.chain
        self._via = settings.via
        self._identity = tuple([(name.encode(), name_and_path(claim)) for name, claim in settings.identity.items()])
        self._trusted = Networks(settings.trusted_proxies)

    def identity_fields(self, token: ActiveToken) -> bytes:
        """Return the identity field lines for a token; an absent claim makes no field."""
        lines = []
        for name, (claim, path) in self._identity:
            value = identity_value(token, claim, path)
            if value is not None:
                lines.append(b"%b: %b\r\n" % (name, value))
        return b"".join(lines)

    def trusts(self, address: str) -> bool:
        """Return whether the peer with this address is a trusted proxy, whose forwarding fields are kept."""
        return address in self._trusted

    def client_address(self, peer: str, forwarded_for: Iterable[bytes]) -> str:
        """Return the rightmost address of a trusted peer's X-Forwarded-For values that is not a trusted proxy's.

        Anybody may have written the addresses left of it. At most `_MAX_PROXIES` addresses are read. The result is
        `peer` if the values name none.
        """
        address = peer
        for text in reversed(b",".join(forwarded_for).decode("latin-1").rsplit(",", _MAX_PROXIES)[-_MAX_PROXIES:]):
            address = _without_port(text.strip()) or address
            if address != peer and not self.trusts(address):
                break
        return address

    def sender(self, peer: str, forwarded_for: Iterable[bytes]) -> tuple[str, str]:
        """Return `client_address`, and the key of that client; computed once for the values that come often."""
        values = b",".join(forwarded_for)
        sender = self._senders.get((peer, values))
        if sender is None:
            address = self.client_address(peer, (values,))
            sender = address, client_key(address)
            if len(values) <= 64:
                if len(self._senders) >= _CACHED:
                    self._senders.clear()
                self._senders[peer, values] = sender
        return sender

    def forwarding_fields(
        self, address: str, client: str, scheme: str, host: bytes, received: Mapping[bytes, list[bytes]]
    ) -> bytes:
        """Return the field lines that describe the client to the upstream, and `Via` if it is wanted.

        `address` is the peer's, and `client` the one of `client_address`. `received` are the forwarding fields of a
        trusted peer by lower-case name; empty for any other peer. `host` is empty if an HTTP/1.0 client sent none.
        """
        lines = []
        if self._style == "x-forwarded":
            addresses = [*received.get(b"x-forwarded-for", ()), address.encode()]
            lines.append(b"X-Forwarded-For: %b\r\n" % b", ".join(addresses))
            lines.append(b"X-Real-IP: %b\r\n" % client.encode("latin-1"))
            for name, value in ((b"X-Forwarded-Proto", scheme.encode()), (b"X-Forwarded-Host", host)):
                theirs = received.get(name.lower())
                if theirs or value:
                    lines.append(b"%b: %b\r\n" % (name, theirs[-1] if theirs else value))
            for name, values in received.items():
                if name not in (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"):
                    lines.append(b"%b: %b\r\n" % (name, b", ".join(values)))
        elif self._style == "forwarded":
            # RFC 7239 §4, §6: an IPv6 address is bracketed and quoted
            node = f'"[{address}]"' if ":" in address else address
            element = f"for={node};proto={scheme}".encode() + (b';host="%b"' % host if host else b"")
            lines.append(b"Forwarded: %b\r\n" % b", ".join([*received.get(b"forwarded", ()), element]))
        if self._via:
            lines.append(b"Via: 1.1 enforcer\r\n")
        return b"".join(lines)


def _without_port(node: str) -> str:
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def request_head(
    permit: Allow, method: bytes, target: bytes, lines: list[bytes], forwarded: bytes, identity: bytes, framing: bytes
) -> bytes:
    """Return the head of the request that `permit` allows.

    `lines` are the client's field lines that pass, in pieces. `forwarded` are the forwarding fields, `identity` the
    identity fields, `framing` the fields that belong to the upstream connection, each as whole lines.
    """
    return b"%b %b HTTP/1.1\r\n%b%b%b%b\r\n" % (method, target, b"".join(lines), forwarded, identity, framing)


def without_listed(lines: list[bytes], options: Iterable[bytes]) -> list[bytes]:
    """Remove the fields that Connection lists, in lower case (RFC 9110 §7.6.1), except those that are read here."""
    return without(lines, frozenset(options) - frozenset(READ_FIELDS))


class _StatusLines(dict[tuple[int, bytes], bytes]):
    """Status lines by status and reason phrase; a phrase that is not valid (RFC 9112 §4) is left out."""

    def __missing__(self, key: tuple[int, bytes]) -> bytes:
        status, reason = key
        line = b"HTTP/1.1 %d %b\r\n" % (status, b"" if reason.translate(None, _IN_REASON) else reason)
        if len(reason) <= 64:
            if len(self) >= _CACHED:
                self.clear()
            self[key] = line
        return line


_IN_REASON: Final = b"\t" + bytes(byte for byte in range(0x20, 0x100) if byte != 0x7F)
STATUS_LINES: Final = _StatusLines()

_NOT_IN_TRAILERS: Final = frozenset(
    {b"content-encoding", b"content-type", b"content-range", b"cache-control", b"range", b"cookie"}
    | {b"set-cookie", b"age", b"expires", b"date", b"location", b"retry-after", b"vary", b"warning", b"trailer", b"via"}
    | {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"pragma"}
    | {b"www-authenticate"}
)


NOT_READ: Final[frozenset[bytes]] = frozenset()
"""The fields that a rule without conditions on fields reads, and those of a response."""


def permitted_trailers(lines: list[bytes], kinds: FieldKinds, read: frozenset[bytes]) -> list[bytes]:
    """Return the trailer fields that may be forwarded (RFC 9110 §6.5.1): none that frames, routes or identifies.

    Nor any that the rule has read in the head (`read`, as `fold` writes them): some apps join the two sections.
    """
    permitted: list[bytes] = []
    for index in range(0, len(lines), 4):
        name = lines[index]
        folded = name.translate(FOLD)
        if kinds[name] == FieldKind.PASS and folded not in _NOT_IN_TRAILERS and folded not in read:
            permitted += lines[index : index + 4]
    return permitted
