"""Floods of made-up tokens: what they may cost is bounded, and good tokens do not pay for it."""

from __future__ import annotations

import http.client
import secrets
from collections import Counter

from harness.servers import response
from harness.testbed import ResponseReader, Testbed, connect, fresh_token, get, run_testbed
from harness.usage import resident_memory

_TOKENS = 20_000
_FIRST = 1_600  # of these, after which the process has all the memory that it needs
_BATCH = 16  # as many as a connection may have waiting
_KNOWN = response(b'{"active": true, "scope": "read"}')
_UNKNOWN = response(b'{"active": false}')
_ROOM = 16 * 1024**2


def _judge(head: bytes, body: bytes) -> bytes:
    return _KNOWN if body.startswith(b"token=R") else _UNKNOWN


def _flood(laid: Testbed, count: int) -> Counter[int]:
    """Ask with `count` tokens that nobody issued, and count the answers by their status."""
    statuses: Counter[int] = Counter()
    with connect(laid.enforcer.port) as connection:
        answers = ResponseReader(connection)
        for _ in range(0, count, _BATCH):
            made_up = (secrets.token_hex(24) for _ in range(_BATCH))
            request = "GET /api/x HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer X{}\r\n\r\n"
            connection.sendall("".join(map(request.format, made_up)).encode())
            statuses.update(answers.next()[0] for _ in range(_BATCH))
    return statuses


def _metrics(laid: Testbed) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", laid.enforcer.admin_port, timeout=10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    pairs = (line.rpartition(" ") for line in lines if line.startswith("enforcer_"))
    return {series: float(value) for series, _, value in pairs}


def test_flood_of_made_up_tokens_is_remembered_within_bounds_and_evicts_no_good_one() -> None:
    """Each made-up token costs one call and no memory that stays; good tokens are neither forgotten nor asked for."""
    settings = {"entries": 100, "negative_entries": 500, "ttl": "10m", "refresh_ahead": "0ms"}
    with run_testbed(
        introspect=_judge, cache=settings, limits={"unseen_tokens": {"rate": 10**6, "burst": 10**6}}
    ) as laid:
        good = [fresh_token("R") for _ in range(20)]
        assert [get(laid, "/api/x", one)[0] for one in good] == [200] * 20
        _flood(laid, _FIRST)
        before = resident_memory(laid.enforcer.process.pid)
        assert _flood(laid, _TOKENS - _FIRST) == {401: _TOKENS - _FIRST}
        assert [get(laid, "/api/x", one)[0] for one in good] == [200] * 20
        calls = Counter(body.partition(b"&")[0] for _, body in laid.authorization.requests)
        assert (len(calls), max(calls.values())) == (_TOKENS + 20, 1)
        assert _metrics(laid)["enforcer_cache_entries"] == 520
        assert resident_memory(laid.enforcer.process.pid) - before < _ROOM


def test_flood_of_made_up_tokens_is_held_off_the_authorization_server() -> None:
    """Beyond its share of unseen tokens an address is told 429, and its good tokens still pass."""
    with run_testbed(introspect=_judge, limits={"unseen_tokens": {"rate": 1, "burst": 50}}) as laid:
        good = fresh_token("R")
        assert get(laid, "/api/x", good)[0] == 200
        statuses = _flood(laid, 480)
        assert statuses.keys() == {401, 429}
        assert get(laid, "/api/x", good)[0] == 200
        assert len(laid.authorization.requests) == 1 + statuses[401]
        assert statuses[401] < 240


def test_random_requests_make_no_new_series() -> None:
    """Random paths, methods, hosts and tokens do not make the metrics grow."""
    with run_testbed() as laid:
        kinds = ("GET /{} HTTP/1.1\r\nHost: app", "GET /public/{} HTTP/1.1\r\nHost: {}", "{} /x HTTP/1.1\r\nHost: app")
        series = []
        for _ in range(2):
            for _ in range(30):
                for kind in kinds:
                    with connect(laid.enforcer.port) as connection:
                        connection.sendall((kind.replace("{}", "X" + secrets.token_hex(8)) + "\r\n\r\n").encode())
                        ResponseReader(connection).next()
            get(laid, "/admin", fresh_token("X"))
            series.append(_metrics(laid).keys())
        assert series[0] == series[1]
