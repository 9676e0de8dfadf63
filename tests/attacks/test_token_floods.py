"""Floods of invented tokens: their cost is bounded, and good tokens are not affected."""

from __future__ import annotations

import http.client
import secrets
from collections import Counter

from harness.servers import response
from harness.testbed import ResponseReader, Testbed, connect, fresh_token, get, run_testbed
from harness.usage import resident_memory
from harness.waiting import TIMEOUT

_TOKENS = 8_000
_WARM_UP = 1_600  # of these, after which the process has allocated its buffers
_BATCH = 16  # the limit on pipelined requests
_ACTIVE = response(b'{"active": true, "scope": "read"}')
_INACTIVE = response(b'{"active": false}')
_GROWTH = 3 * 1024**2
"""Bytes: fewer than the smallest cache entries of all invented tokens would take."""


def _introspect(head: bytes, body: bytes) -> bytes:
    return _ACTIVE if body.startswith(b"token=R") else _INACTIVE


def _flood(testbed: Testbed, count: int) -> Counter[int]:
    """Send `count` requests with invented tokens, and count the responses by status."""
    statuses: Counter[int] = Counter()
    with connect(testbed.enforcer.port) as connection:
        responses = ResponseReader(connection)
        for _ in range(0, count, _BATCH):
            tokens = (secrets.token_hex(24) for _ in range(_BATCH))
            request = "GET /api/x HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer X{}\r\n\r\n"
            connection.sendall("".join(map(request.format, tokens)).encode())
            statuses.update(responses.next()[0] for _ in range(_BATCH))
    return statuses


def _metrics(testbed: Testbed) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", testbed.enforcer.admin_port, timeout=TIMEOUT)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    pairs = (line.rpartition(" ") for line in lines if line.startswith("enforcer_"))
    return {series: float(value) for series, _, value in pairs}


def test_flood_of_invented_tokens_is_cached_within_limits_and_evicts_no_active_token() -> None:
    """Each invented token costs one introspection and no lasting memory; good tokens stay in the cache."""
    settings = {"entries": 100, "negative_entries": 500, "ttl": "10m", "refresh_ahead": "0ms"}
    with run_testbed(
        introspect=_introspect, cache=settings, limits={"unseen_tokens": {"rate": 10**6, "burst": 10**6}}
    ) as testbed:
        good = [fresh_token("R") for _ in range(20)]
        assert [get(testbed, "/api/x", token)[0] for token in good] == [200] * 20
        _flood(testbed, _WARM_UP)
        before = resident_memory(testbed.enforcer.process.pid)
        assert _flood(testbed, _TOKENS - _WARM_UP) == {401: _TOKENS - _WARM_UP}
        assert [get(testbed, "/api/x", token)[0] for token in good] == [200] * 20
        calls = Counter(body.partition(b"&")[0] for _, body in testbed.authorization.lookups)
        assert max(calls.values()) == 1
        assert len(calls) == _TOKENS + 20
        assert _metrics(testbed)["enforcer_cache_entries"] == 520
        assert resident_memory(testbed.enforcer.process.pid) - before < _GROWTH


def test_flood_of_invented_tokens_is_kept_from_the_authorization_server() -> None:
    """Beyond its share of unseen tokens an address gets 429, while its cached tokens are still accepted."""
    with run_testbed(introspect=_introspect, limits={"unseen_tokens": {"rate": 1, "burst": 50}}) as testbed:
        good = fresh_token("R")
        assert get(testbed, "/api/x", good)[0] == 200
        statuses = _flood(testbed, 480)
        assert statuses.keys() == {401, 429}
        assert get(testbed, "/api/x", good)[0] == 200
        assert len(testbed.authorization.lookups) == 1 + statuses[401]
        assert statuses[401] < 240


def test_random_requests_add_no_time_series() -> None:
    """Random paths, methods, hosts and tokens do not add time series."""
    with run_testbed() as testbed:
        kinds = ("GET /{} HTTP/1.1\r\nHost: app", "GET /public/{} HTTP/1.1\r\nHost: {}", "{} /x HTTP/1.1\r\nHost: app")
        series = []
        for _ in range(2):
            for _ in range(30):
                for kind in kinds:
                    with connect(testbed.enforcer.port) as connection:
                        connection.sendall((kind.replace("{}", "X" + secrets.token_hex(8)) + "\r\n\r\n").encode())
                        ResponseReader(connection).next()
            get(testbed, "/admin", fresh_token("X"))
            series.append(_metrics(testbed).keys())
        assert series[0] == series[1]
