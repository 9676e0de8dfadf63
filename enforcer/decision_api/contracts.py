"""Contracts: how a proxy that asks for a decision describes its client's request (see docs/decision-api.md). Pure.

1. Each listener has one contract. Fields of other contracts are ignored, because the client may have sent them, and
   counted (`ignored_fields`).
2. Method, target and host are never assumed: a field that is missing, repeated or not valid is an error.
3. A request with a second target must name it: the proxy may not pass the field on, and forward it all the same.
4. The target is read later, by the same parser as the proxy's own (`proxy.authorize`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from enforcer.errors import MalformedRequestError
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.head import RequestHead, SpecialFields
from enforcer.proxy.messages.other_targets import COPYING
from enforcer.proxy.messages.responses import Refusal
from enforcer.settings.limits import Limits
from enforcer.wire.fields import FOLD, HOST, METHODS, OWS, FieldKind

_DESTINATION: Final = int(FieldKind.DESTINATION)
_DROP: Final = int(FieldKind.DROP)
_FORWARDED: Final = int(FieldKind.FORWARDED)
_METHOD_OVERRIDE: Final = int(FieldKind.METHOD_OVERRIDE)
_METHODS: Final = frozenset([method.encode() for method in METHODS])
_PROTO: Final = b"x-forwarded-proto"
_URL: Final = re.compile(rb"(https?)://([^/?#]*)(/.*)")
_SCHEMES: Final = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}
"""The schemes of X-Forwarded-Proto, and those of the URLs that they stand for: Traefik writes `wss` for upgrades."""


# The parts that a field plays in a contract: bits of a number, since X-Forwarded-Host can play two.
_OF_METHOD: Final = 1
_OF_TARGET: Final = 2
_OF_HOST: Final = 4
_OF_SCHEME: Final = 8
_OF_CHAIN: Final = 16
_FOREIGN: Final = 32

_MAX_NAMES: Final = 1024
"""Field names that are remembered; a client that invents names must not keep others' out."""


class Contract:
    """The fields that describe the client's request, by lower-case name; empty: the request's own part.

    `url`: the target field is an absolute URL, and names scheme and host too. `forwarded` are the forwarding fields
    that the proxy sets itself, and that are believed therefore. `unread` are fields of other contracts that the proxy
    sets too, and that are not reported therefore. `joins`: of a repeated field, the proxy makes a list with commas.
    `parts` are those of each field, by its name as sent: one look-up for each field of a request.
    """

    def __init__(
        self,
        method: bytes = b"",
        target: bytes = b"",
        host: bytes = b"",
        *,
        url: bool = False,
        forwarded: frozenset[bytes] = frozenset({b"x-forwarded-for", _PROTO}),
        unread: frozenset[bytes] = frozenset(),
        joins: bool = False,
    ) -> None:
        self.method: Final = method
        self.target: Final = target
        self.host: Final = host
        self.url: Final = url
        self.forwarded: Final = forwarded
        self.unread: Final = unread
        self.joins: Final = joins
        self.parts: Final = _Parts(self)

    def classify(self, name: bytes) -> int:
        """Return the parts of a field by its name as sent. Names are folded as the laxest app does, to be foreign."""
        lower, folded = name.lower(), name.translate(FOLD)
        own = lower in (self.method, self.target)
        parts = _FOREIGN if folded in _DESCRIBING and folded not in self.unread and not own else 0
        if lower == self.method:
            parts |= _OF_METHOD
        if lower == self.target:
            parts |= _OF_TARGET
        if lower == self.host:
            parts |= _OF_HOST
        if lower in self.forwarded:
            parts |= _OF_SCHEME if lower == _PROTO else _OF_CHAIN
        return parts


class _Parts(dict[bytes, int]):
    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self._contract = contract

    def __missing__(self, name: bytes) -> int:
        parts = self._contract.classify(name)
        if len(name) <= 64:
            if len(self) >= _MAX_NAMES:
                self.clear()
            self[name] = parts
        return parts


_WITH_HOST: Final = frozenset({b"x-forwarded-for", _PROTO, b"x-forwarded-host"})
CONTRACTS: Final[Mapping[str, Contract]] = {
    "nginx": Contract(b"x-original-method", b"x-original-uri"),
    "haproxy": Contract(b"x-original-method", b"x-original-uri", b"x-forwarded-host", forwarded=_WITH_HOST, joins=True),
    "ingress-nginx": Contract(
        b"x-original-method",
        b"x-original-url",
        url=True,
        forwarded=frozenset({b"x-forwarded-for"}),
        unread=frozenset({b"x-original-uri"}),  # with the annotation auth-method
    ),
    "forwarded": Contract(b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host", forwarded=_WITH_HOST),
    "request": Contract(joins=True),
}
"""The contracts by the name in a configuration."""
_DESCRIBING: Final = frozenset(name for each in CONTRACTS.values() for name in (each.method, each.target) if name)
"""The fields that describe a method or target in any contract."""


def read(contract: Contract, carrier: RequestHead, limits: Limits) -> RequestHead:
    """Return the head of the client's request, of which `carrier`, a request to the decision API, asks.

    Its `refusal` is set if the carrier does not describe exactly one request. Framing, keep-alive and version, which
    belong to the connection, are the carrier's.
    """
    if carrier.special is None and not contract.method and carrier.host and carrier.method not in COPYING:
        return carrier  # the common case of `request`: it is the client's own
    special: SpecialFields = carrier.special or {}
    try:
        method, target, host, forwarded = _describe(contract, carrier)
        check_destination(method, special, joined=contract.joins)
    except MalformedRequestError as error:
        return refused(carrier, responses.malformed(str(error), error.status))
    refusal = responses.TARGET_TOO_LONG if len(target) > limits.target else None
    return _judged(carrier, method, target, host, forwarded, refusal)


def foreign_fields(contract: Contract, head: RequestHead) -> list[bytes]:
    """Return the folded names of fields that describe a request, but not in this contract.

    Another spelling of the contract's own field is such a field too. X-Forwarded-Host is not: most proxies set it.
    """
    names: list[bytes] = []
    if head.special is not None:
        for name, _ in head.special.get(_DROP, ()):
            if contract.parts[name] & _FOREIGN:
                names.append(name.translate(FOLD))
    return names


def check_method(method: bytes) -> None:
    """Raise MalformedRequestError if the proxy's parser does not know a method, which it answers 501 too."""
    if method not in _METHODS:
        raise MalformedRequestError("request line", "unknown method", 501)


def check_destination(method: bytes, special: SpecialFields, *, joined: bool) -> None:
    """Raise MalformedRequestError if a request that copies or moves does not name one destination.

    `joined`: repeated fields are joined, so that a value with a comma may be several, of which an app may take any.
    """
    overrides = special.get(_METHOD_OVERRIDE, ())
    if method not in COPYING and not [value for _, value in overrides if value.strip(OWS).upper() in COPYING]:
        return
    destinations = special.get(_DESTINATION, ())
    if not destinations:
        raise MalformedRequestError("Destination", "missing; the proxy must pass it on")
    if len(destinations) > 1 or (joined and b"," in destinations[0][1]):
        raise MalformedRequestError("Destination", "more than one, or with a comma")


def refused(carrier: RequestHead, refusal: Refusal) -> RequestHead:
    """Return the head of a request that cannot be decided; nothing that the carrier says is believed."""
    return _judged(carrier, carrier.method, carrier.target, carrier.host, None, refusal)


_Forwarded = list[tuple[bytes, bytes]]


def _describe(contract: Contract, carrier: RequestHead) -> tuple[bytes, bytes, bytes, _Forwarded]:
    """Return method, target, host and forwarding fields of the client's request; raises MalformedRequestError."""
    special: SpecialFields = carrier.special or {}
    method, target, host, scheme = carrier.method, carrier.target, carrier.host, b""
    methods = targets = hosts = schemes = 0
    forwarded: _Forwarded = []
    for kind in (_DROP, _FORWARDED):
        for name, value in special.get(kind, ()):
            parts = contract.parts[name]
            if parts & _OF_METHOD:
                method = value
                methods += 1
            if parts & _OF_TARGET:
                target = value
                targets += 1
            if parts & _OF_HOST:
                host = value
                hosts += 1
            if kind == _FORWARDED and parts & _OF_SCHEME:
                scheme = value
                schemes += 1
            elif kind == _FORWARDED and parts & _OF_CHAIN:
                forwarded.append((name, value))
    method = _required(contract.method, methods, method)
    target = _required(contract.target, targets, target)
    host = _required(contract.host, hosts, host)
    check_method(method)
    if contract.url:
        match = _URL.fullmatch(target)
        if match is None:
            raise MalformedRequestError(contract.target.decode(), "not an http URL with a path")
        scheme, host, target = match[1], match[2], match[3]
        schemes += 1
    # The carrier's own Host was read with its head, but a request of HTTP/1.0 has none.
    if not host or (host is not carrier.host and HOST.fullmatch(host) is None):
        raise MalformedRequestError("Host", "missing, or not a host")
    if schemes:
        scheme = _SCHEMES.get(scheme.strip(OWS).lower(), b"")
        if schemes > 1 or not scheme:
            raise MalformedRequestError("X-Forwarded-Proto", "not one scheme")
        forwarded.append((b"X-Forwarded-Proto", scheme))
    return method, target, host, forwarded


def _required(name: bytes, count: int, value: bytes) -> bytes:
    """Return the value of a field of a contract, which must be there once; a part without a field is the carrier's."""
    if not name:
        return value
    if count != 1:
        raise MalformedRequestError(name.decode(), "repeated" if count else "missing")
    return value.strip(OWS)


def _judged(
    carrier: RequestHead,
    method: bytes,
    target: bytes,
    host: bytes,
    forwarded: _Forwarded | None,
    refusal: Refusal | None,
) -> RequestHead:
    special: dict[int, Sequence[tuple[bytes, bytes]]] = dict(carrier.special or {})
    special.pop(_DROP, None)
    special.pop(_FORWARDED, None)
    if forwarded:
        special[_FORWARDED] = forwarded
    return RequestHead(
        method,
        target,
        host,
        carrier.lines,
        authorization=carrier.authorization,
        authorizations=carrier.authorizations,
        special=special or None,
        framing=carrier.framing,
        length=carrier.length,
        keep_alive=carrier.keep_alive,
        http10=carrier.http10,
        has_body=carrier.has_body,
        chunked=carrier.chunked,
        upgrade=carrier.upgrade,
        refusal=refusal,
    )
