"""The requests that the doctor sends through a front proxy, and what was seen of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

Fields = tuple[tuple[bytes, bytes], ...]

MARKER_FIELD: Final = b"X-Enforcer-Probe"
"""The field by which a probe is known; its query has the marker too, because not all proxies pass fields on."""

PLAIN: Final = b"/one/two"
PATHS: Final = (
    *(b"/one/../two", b"/one/./two", b"/one/%2e%2e/two", b"/one/%2E./two", b"/one/..", b"/%2e/two"),
    *(b"/one%2ftwo", b"/one%2Ftwo", b"/one/..%2ftwo", b"/one%252ftwo", b"/one/%252e%252e/two"),
    *(b"//one/two", b"/one//two", b"/one//../two", b"/one/two/"),
    *(b"/one\\two", b"/one%5ctwo", b"/one/..%5ctwo", b"/one/..;/two", b"/one;a=b/two", b"/one%3btwo"),
    *(b"/%6fne/two", b"/one%20two", b"/one+two", b"/one%3ftwo", b"/one%23two", b"/one%00two", b"/one%0atwo"),
    *(b"/one%fftwo", b"/one%c0%aetwo", b"/one%c3%a9two", b"/one%7ctwo", b"/one/two%2e"),
)
"""Paths that some proxies and apps read, or write, in another way: behind the path of the proxy's URL."""

_FORGED_TARGET: Final = b"/enforcer-forged"
_FORGED_ADDRESS: Final = b"203.0.113.77"  # RFC 5737: of no client
_FORGED_VALUE: Final = b"enforcer-forged"
_DESCRIBING: Final = (
    (b"X-Original-URI", _FORGED_TARGET),
    (b"X-Original-URL", b"http://enforcer.invalid" + _FORGED_TARGET),
    (b"X-Original-Method", b"PURGE"),
    (b"X-Forwarded-Uri", _FORGED_TARGET),
    (b"X-Forwarded-Method", b"PURGE"),
    (b"X-Forwarded-Host", b"enforcer.invalid"),
    (b"X-Forwarded-For", _FORGED_ADDRESS),
)


NAMING: Final = (
    (b"X-HTTP-Method-Override", b"POST"),
    (b"X-HTTP-Method", b"POST"),
    (b"X-Method-Override", b"POST"),
    (b"Destination", b"/enforcer-destination"),
)
"""Fields that name another method or target, which is decided on too."""


class Probe(NamedTuple):
    """A request: its target, and fields besides Host and the marker. `subject` names it in a finding."""

    subject: str
    target: bytes
    fields: Fields = ()


class Asked(NamedTuple):
    """A request that the front proxy asked about.

    `address` is that of the listener that it asked, `client` the client's key, `fault` why nothing can be decided.
    `fields` are those of the client.
    """

    method: bytes
    target: bytes
    host: bytes
    address: str
    client: str
    fault: str = ""
    fields: Fields = ()


class Arrived(NamedTuple):
    """A request that the front proxy forwarded; a target that is empty could not be read."""

    method: bytes
    target: bytes
    fields: Fields


class Observation(NamedTuple):
    """A probe, and what was seen of it.

    `status` and `fields` are those of the response to the client, by lower-case name; without a response, the status is
    0, and `detail` says why. `allowed`: a decision allowed the request.
    """

    probe: Probe
    status: int
    fields: Mapping[bytes, bytes]
    detail: str
    asked: tuple[Asked, ...]
    arrived: tuple[Arrived, ...]
    allowed: bool


def plain_probe(prefix: bytes, marker: bytes, *fields: tuple[bytes, bytes]) -> Probe:
    """Return a probe that every proxy forwards unchanged. `prefix` is the path of the front proxy's URL."""
    return _probe("plain path", prefix, PLAIN, marker, fields)


def path_probes(prefix: bytes, marker: bytes) -> list[Probe]:
    """Return a probe for each of `PATHS`."""
    return [_probe((prefix + path).decode("latin-1"), prefix, path, marker) for path in PATHS]


def forged_probes(prefix: bytes, marker: bytes, identity: Iterable[str]) -> list[Probe]:
    """Return a probe for each field that only a proxy may set, and for spellings of each identity field."""
    fields = list(_DESCRIBING)
    for name in identity:
        spelled = name.encode()
        folded = spelled.replace(b"-", b"_")
        fields += [(each, _FORGED_VALUE) for each in dict.fromkeys((spelled, spelled.lower(), folded))]
    return [_probe(name.decode(), prefix, PLAIN, marker, ((name, value),)) for name, value in fields]


def naming_probes(prefix: bytes, marker: bytes) -> list[Probe]:
    """Return a probe for each of `NAMING`."""
    return [_probe(name.decode(), prefix, PLAIN, marker, ((name, value),)) for name, value in NAMING]


def is_forged(client: str) -> bool:
    """Return whether a client's key is that of the forged address."""
    return client == _FORGED_ADDRESS.decode()


def _probe(subject: str, prefix: bytes, path: bytes, marker: bytes, fields: Fields = ()) -> Probe:
    return Probe(subject, prefix + path + b"?enforcer-probe=" + marker, fields)
