"""A gateway in front of several apps: each rule selects its upstream."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from harness.clients import Client
from harness.configs import config
from harness.ports import closed_port
from harness.processes import Enforcer, enforcer
from harness.servers import Server, send_raw
from harness.upstreams import Upstream, upstream
from harness.waiting import TIMEOUT

RULES = [
    {"name": "shop", "host": "shop.example.org", "path": "/**", "scopes": ["read"], "upstream": "shop"},
    {"name": "stock", "host": "stock.example.org", "path": "/**", "scopes": ["read"], "upstream": "stock"},
    {"name": "stock of the shop", "host": "shop.example.org", "path": "/stock/**", "public": True, "upstream": "stock"},
    {"name": "health", "path": "/health", "public": True},
]


class Gateway(NamedTuple):
    """An enforcer in front of three apps."""

    proxy: Enforcer
    apps: dict[str, Upstream]


@pytest.fixture(scope="module")
def gateway(authorization_server: Server) -> Iterator[Gateway]:
    with upstream() as default, upstream() as shop, upstream() as stock:
        apps = {"default": default, "shop": shop, "stock": stock}
        named = {"shop": {"url": shop.url}, "stock": {"url": stock.url, "pool": {"connections": 2}}}
        settings = config(default.url, authorization_server.port, upstreams=named, rules=RULES)
        with enforcer(settings) as proxy:
            yield Gateway(proxy, apps)


def reached(gateway: Gateway, target: str) -> list[str]:
    """Return the names of the apps that received a request for the target."""
    return [
        name for name, app in gateway.apps.items() if target.encode() in {request.target for request in app.requests}
    ]


@pytest.mark.parametrize(
    ("host", "target", "app"),
    [
        ("shop.example.org", "/a", "shop"),
        ("SHOP.example.org:8091", "/b", "shop"),
        ("stock.example.org", "/c", "stock"),
        ("shop.example.org", "/stock/d", "stock"),
        ("shop.example.org", "/health", "default"),
        ("other.example.org", "/health", "default"),
        ("other.example.org", "/e", None),
    ],
)
def test_a_request_goes_to_the_upstream_of_its_rule(gateway: Gateway, host: str, target: str, app: str | None) -> None:
    """And to no other; a host without rules of its own has the rules for all hosts."""
    for upstream_app in gateway.apps.values():
        upstream_app.requests.clear()
    for _ in range(2):  # the second time, the route is cached
        with Client(gateway.proxy.port) as client:
            client.host = host
            assert client.request("GET", target).status == (403 if app is None else 200)
    assert reached(gateway, target) == ([] if app is None else [app])


def test_the_route_cache_distinguishes_hosts(gateway: Gateway) -> None:
    """The route cached for one host does not apply to the other."""
    with Client(gateway.proxy.port) as client:
        for _ in range(3):
            for host in ("shop", "stock"):
                app = gateway.apps[host]
                app.requests.clear()
                client.host = f"{host}.example.org"
                assert client.request("GET", "/same").status == 200
                (request,) = app.requests
                assert dict(request.headers)[b"host"] == f"{host}.example.org".encode()


def test_each_upstream_is_counted_by_its_name(gateway: Gateway) -> None:
    """The default upstream has no name, and is counted by its address."""
    with Client(gateway.proxy.port) as client:
        for host, target in (("shop", "/x"), ("stock", "/x"), ("shop", "/health")):
            client.host = f"{host}.example.org"
            client.request("GET", target)
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.proxy.admin_port}/metrics", timeout=TIMEOUT) as response:
        lines = response.read().decode()
    for name in ("shop", "stock", f"127.0.0.1:{gateway.apps['default'].port}"):
        assert f'enforcer_upstream_requests_total{{code="200",upstream="{name}"}}' in lines


def test_an_http_1_0_request_without_a_host_gets_its_upstreams(authorization_server: Server) -> None:
    """Only rules for all hosts match; the Host field is the upstream's own."""
    rules = [
        {"name": "other", "path": "/other", "public": True, "upstream": "other"},
        {"name": "default", "path": "/default", "public": True},
        {"name": "narrow", "path": "/narrow", "host": "127.0.0.1", "public": True},
    ]
    with upstream() as default, upstream() as other:
        settings = config(default.url, authorization_server.port, upstreams={"other": {"url": other.url}}, rules=rules)
        with enforcer(settings) as proxy:
            for target, app in (("/other", other), ("/default", default)):
                assert send_raw(proxy.port, f"GET {target} HTTP/1.0\r\n\r\n".encode()).startswith(b"HTTP/1.1 200 ")
                fields = dict(app.requests[-1].headers)
                assert fields[b"host"] == f"127.0.0.1:{app.port}".encode()
                assert b"x-forwarded-host" not in fields
            assert b" 403 " in send_raw(proxy.port, b"GET /narrow HTTP/1.0\r\n\r\n").partition(b"\r\n")[0]


def test_an_unreachable_upstream_does_not_affect_others(authorization_server: Server) -> None:
    """Each has its own pool; if every rule names an upstream, the default one is not needed."""
    rules = [
        {"name": "up", "path": "/up", "scopes": ["read"], "upstream": "up"},
        {"name": "down", "path": "/down", "scopes": ["read"], "upstream": "down"},
    ]
    with closed_port() as port, upstream() as app:
        named = {"up": {"url": app.url}, "down": {"url": f"http://127.0.0.1:{port}"}}
        settings = config(app.url, authorization_server.port, upstreams=named, rules=rules).replace(
            f'"upstream": {{"url": "{app.url}"}}, ', ""
        )
        with enforcer(settings) as proxy, Client(proxy.port) as client:
            statuses = [client.request("GET", target).status for target in ("/down", "/up", "/down", "/up", "/none")]
    assert statuses == [502, 200, 502, 200, 403]
