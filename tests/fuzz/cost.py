"""Requests that are made to be expensive, and the work that they cause.

An expensive request fills one place, or two whose sizes might multiply, with many copies of one unit, up to the limits.
Work is counted in bytecode instructions, not in time: in those of the enforcer and of the libraries that it calls. C
functions count nothing, but every one on the request path takes time in the size of its input only.
"""

from __future__ import annotations

import json
import selectors
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

import h11
from fuzz.mutation import SEEDS
from harness.attack_policy import RULES
from harness.dataplane import PEER, DataPlane, Outcome
from harness.signing import key, public

from enforcer.settings.limits import Limits
from enforcer.tokens.jwt.jws import encode
from enforcer.wire import turns

MOST: Final = 30_000
"""Instructions that no request may take: well below a millisecond. A refused request takes about 3,000."""

_LIMITS: Final = Limits()
_ROOM: Final = _LIMITS.head - 1024  # for everything that is not the filled place
_HOLDER: Final = key("ES256")
_IGNORED: Final = tuple(
    str(path)
    for path in (
        *(Path(__file__).parents[1], Path(h11.__file__).parent, Path(sys.modules["asyncio"].__path__[0])),
        # They go round as long as there is time left, which is much while each instruction is counted.
        *(Path(turns.__file__), Path(selectors.__file__)),
    )
)

_PLACES: Final[dict[str, Any]] = {
    "name": "places",
    "path": "/places/**",
    "scopes": ["read"],
    "token_from": {"bearer": True, "cookie": "token", "subprotocol": "token.", "query": "access_token"},
    "query": {"a": "1"},
    "headers": {"X-Tenant": "{?a}"},
}
"""A rule that reads all that a client chooses the number of: cookies, subprotocols, parameters, fields."""

UNITS: Final[Sequence[bytes]] = [text.encode() for text in SEEDS["units"]]
FIELDS: Final[Sequence[bytes]] = [text.encode() for text in SEEDS["fields"]]
SCHEMES: Final[Sequence[bytes]] = (b"", b"Bearer ", b"Bearer R~", b"DPoP ", b"DPoP K~", b"Basic ")


def make_plane() -> DataPlane:
    """Return a data plane that does all that a configuration can ask for: it records each request, and trusts it."""
    return DataPlane(
        lambda token: (
            {"active": True, "scope": "read", "cnf": {"jkt": _HOLDER.thumbprint()}}
            if token.startswith("K")
            else {"active": token.startswith("R"), "scope": "read"}
        ),
        rules=[*RULES, _PLACES],
        admin={"credential": {"env": "ENFORCER_CLIENT_SECRET"}},
        log={"decisions": "all"},
        forwarding={"trusted_proxies": [PEER, "10.0.0.0/8", "192.0.2.0/24"], "client_cert": True},
        cors_preflight="allow",
    )


def request(target: bytes, fields: Sequence[tuple[bytes, bytes]], method: bytes = b"GET") -> bytes:
    names = {name for name, _ in fields}
    lines = [] if b"Host" in names else [b"Host: app"]
    lines += [name + b": " + value for name, value in fields]
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), *lines, b"", b""])


def filled(unit: bytes, size: int) -> bytes:
    """Return as many copies of a unit as fit."""
    return unit * max(size // len(unit), 1)


def new_names(count: int) -> bytes:
    """Return a request with as many fields as are let in, whose long names were never seen before."""
    names = [b"%d-%d-%b" % (count, number, b"x" * 300) for number in range(90)]
    return request(b"/api/x", [(b"Authorization", b"Bearer R~1"), *((name, b"") for name in names)])


def of_unit(unit: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a request for each place that a unit can fill, with a name for it."""
    target, query = b"/api/" + filled(unit, _LIMITS.target - 8), b"/api/x?" + filled(unit, _LIMITS.target - 8)
    token = (b"Authorization", b"Bearer R~1")
    yield "target", request(target, [token])
    yield "query", request(query, [token])
    yield "query that is read", request(query.replace(b"/api/", b"/places/"), [])
    for name in (b"Cookie", b"Sec-WebSocket-Protocol"):
        yield f"{name.decode()} that is read", request(b"/places/x", [(name, filled(unit, _ROOM))])
    yield "host", request(b"/api/x", [(b"Host", filled(unit, _ROOM)), token])
    yield "absolute target", request(b"http://app/" + filled(unit, _LIMITS.target - 16), [token])
    for name in FIELDS:
        for scheme in SCHEMES if name == b"Authorization" else (b"",):
            yield f"{name.decode()} {scheme.decode()}", request(b"/api/x", [(name, scheme + filled(unit, _ROOM))])
            # The other place is filled with short segments, in which a part of the first might be looked for.
            with_path = b"/api/" + filled(b"aaaaaaaa/", _LIMITS.target - 8) + b"a"
            rest = filled(unit, _ROOM - len(with_path))
            yield f"{name.decode()} {scheme.decode()} and target", request(with_path, [(name, scheme + rest)])
        many = [(name, filled(unit, _ROOM // 90 - len(name) - 4)) for _ in range(90)]
        yield f"many {name.decode()}", request(b"/api/x", [token, *many])
    yield "token at its limit", request(target, [(b"Authorization", b"Bearer R~" + b"a" * (_LIMITS.token - 2))])
    yield from _of_proof(unit)


def _of_proof(unit: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield requests whose DPoP proofs can be read, with a unit in each part; the key is the token's."""
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(_HOLDER)}
    claims = {"jti": "1", "htm": "GET", "htu": "http://localhost/api/x", "iat": 0, "ath": ""}
    text = filled(unit, 4000).decode("latin-1")
    for name in ("typ", "alg", "kid"):
        yield f"proof's {name}", _with_proof({**header, name: text}, claims)
    for name in ("jti", "htm", "htu", "ath"):
        yield f"proof's {name}", _with_proof(header, {**claims, name: text})
    yield "proof's URL", _with_proof(header, {**claims, "htu": "http://localhost/" + text})
    yield "proof's key", _with_proof({**header, "jwk": {**public(_HOLDER), "x": text}}, claims)
    for part in ("header", "claims"):
        raw = b'{"x":[' + filled(unit, 4000) + b"0]}"
        parts = [raw if part == "header" else _json(header), raw if part == "claims" else _json(claims)]
        yield f"proof's {part} as JSON", _with_parts(parts)


def _json(members: object) -> bytes:
    return json.dumps(members).encode()


def _with_proof(header: object, claims: object) -> bytes:
    return _with_parts([_json(header), _json(claims)])


def _with_parts(parts: Sequence[bytes]) -> bytes:
    proof = b".".join([*(encode(part) for part in parts), encode(bytes(64))])
    return request(b"/api/x", [(b"Host", b"localhost"), (b"Authorization", b"DPoP K~1"), (b"DPoP", proof)])


def random_request(random: Random) -> bytes:
    """Return a request with several places filled, each with several units."""
    fields = random.sample(FIELDS, random.randint(1, 4))
    shares = [random.random() for _ in fields]
    target = b"/api/" + b"".join(random.choices(UNITS, k=random.choice((1, 1, 500, 2000))))[: _LIMITS.target - 8]
    room = _ROOM - len(target)
    values = []
    for name, share in zip(fields, shares, strict=True):
        unit = b"".join(random.choices(UNITS, k=random.randint(1, 3)))
        scheme = random.choice(SCHEMES) if name == b"Authorization" else b""
        values.append((name, scheme + filled(unit, int(room * share / sum(shares)) - 64)))
    return request(target.replace(b" ", b""), values, random.choice((b"GET", b"POST", b"OPTIONS", b"TRACE")))


class Work:
    """Counts bytecode instructions while it is the trace function."""

    def __init__(self) -> None:
        self.instructions = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Take a call; count the instructions of the function if it belongs to the enforcer or a library."""
        if frame.f_code.co_filename.startswith(_IGNORED):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._count

    def _count(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.instructions += event == "opcode"
        return self._count


async def warm_up(plane: DataPlane) -> None:
    """Send what the first request of its kind does once: imports, connections, the classification of field names."""
    for _, data in of_unit(b"a"):
        await plane.run([data])


async def violations(plane: DataPlane, data: bytes) -> list[str]:
    """Return the faults of a request, and whether it takes too much work."""
    instructions, outcome = await work_of(plane, data)
    return [*outcome.faults, *([f"it takes {instructions} instructions"] if instructions > MOST else [])]


async def work_of(plane: DataPlane, data: bytes) -> tuple[int, Outcome]:
    """Return the instructions that a request takes, and its outcome."""
    work, before = Work(), sys.gettrace()
    sys.settrace(work)
    try:
        outcome = await plane.run([data])
    finally:
        sys.settrace(before)
    return work.instructions, outcome
