"""Sockets to listen on, and the limit on descriptors."""

from __future__ import annotations

import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.configs import config
from harness.waiting import TIMEOUT

from enforcer.config.load import load
from enforcer.server.listening import AddressError, affordable_limits, bind, name_of, raise_descriptor_limit

SETTING = "admin.address in config.yaml"


@contextmanager
def bound(address: str) -> Iterator[list[socket.socket]]:
    """Listen on an address until the block ends."""
    sockets = bind(address, SETTING)
    try:
        yield sockets
    finally:
        for listener in sockets:
            listener.close()


def peer(port: int, host: str) -> str:
    """Connect to a port of a host, and return the client's own address."""
    with socket.create_connection((host, port), TIMEOUT) as client:
        return str(client.getsockname()[0])


def accepted(listening: socket.socket) -> str:
    """Accept a connection, and return the client's address as the server sees it."""
    listening.settimeout(TIMEOUT)
    connection, address = listening.accept()
    connection.close()
    return str(address[0])


def test_all_addresses_means_one_port_of_both_families() -> None:
    """An IPv4 client appears with its IPv4 address, not with an IPv4-mapped one."""
    with bound(":0") as (four, six):
        (_, port), (_, other, *_) = four.getsockname(), six.getsockname()
        assert port == other
        assert name_of([four, six]) == f"0.0.0.0:{port}, [::]:{port}"
        assert peer(port, "127.0.0.1") == accepted(four) == "127.0.0.1"
        assert peer(port, "::1") == accepted(six) == "::1"


def test_without_ipv6_all_addresses_means_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with IPv6 disabled."""

    class OnlyFour(socket.socket):
        def __init__(self, family: int = -1, *more: int) -> None:
            super().__init__(family, *more)
            if family == socket.AF_INET6:
                self.close()
                raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", OnlyFour)
    with bound(":0") as sockets:
        assert [listener.family for listener in sockets] == [socket.AF_INET]
    with pytest.raises(AddressError, match="Address family not supported"):
        bind("[::1]:0", SETTING)


def test_several_addresses_share_the_port() -> None:
    """Such as the addresses of a pod, of both families."""
    with bound("[127.0.0.1,::1]:0") as sockets:
        assert len({listener.getsockname()[1] for listener in sockets}) == 1
        assert name_of(sockets) == "127.0.0.1:{0}, [::1]:{0}".format(sockets[0].getsockname()[1])


def test_an_address_in_use_is_an_error_and_leaves_no_socket_open() -> None:
    """The error names the setting. The address before it in the list is free again."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        address = f"[127.0.0.1,127.0.0.2]:{port}"
        with pytest.raises(AddressError) as refused:
            bind(address, SETTING)
        assert str(refused.value) == (
            f"cannot listen on {address}: it is in use; choose another with admin.address in config.yaml"
        )
        with bound(f"127.0.0.1:{port}"):
            pass


@pytest.mark.parametrize(
    ("limits", "raised", "warned"),
    [
        pytest.param((64, 1_000_000), (5_576, 1_000_000), False, id="too low"),
        pytest.param((9_000, 1_000_000), None, False, id="high enough"),
        pytest.param((64, resource.RLIM_INFINITY), (5_576, resource.RLIM_INFINITY), False, id="no hard limit"),
        pytest.param((64, 128), (128, 128), True, id="a hard limit"),
    ],
)
def test_the_descriptor_limit_covers_every_connection(
    limits: tuple[int, int],
    raised: tuple[int, int] | None,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those of clients, of both pools, of the admin server, and 256 more; a hard limit below that is logged."""
    path = tmp_path / "config.yaml"
    path.write_text(
        config(
            "http://127.0.0.1:1",
            1,
            limits={"connections": 5_000},
            upstream={"pool": {"connections": 150}, "streams": {"connections": 50}},
            authorization_servers=[
                {
                    "introspection_endpoint": "http://127.0.0.1:2/introspect",
                    "client_id": "a",
                    "client_secret": {"env": "SECRET"},
                    "pool": {"connections": 56},
                }
            ],
        )
    )
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, changed: calls.append(changed))
    with caplog.at_level(logging.WARNING):
        raise_descriptor_limit(load(path, {"SECRET": "x"}).config)
    assert calls == ([] if raised is None else [raised])
    assert ("may open only 128 descriptors" in caplog.text) == warned


@pytest.mark.parametrize(
    ("hard", "connections"),
    [(resource.RLIM_INFINITY, 5_000), (1_000_000, 5_000), (2_000, 1_296), (1_024, 352), (400, 40), (100, 1)],
)
def test_clients_get_the_descriptors_that_the_others_leave(
    hard: int, connections: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the admin server and 256 more are reserved, and pools get at most half of the rest."""
    path = tmp_path / "config.yaml"
    limits, pool = (
        {"connections": 5_000, "client_share": "50%"},
        {"pool": {"connections": 200}, "streams": {"connections": 56}},
    )
    path.write_text(config("http://127.0.0.1:1", 1, limits=limits, upstream=pool))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, hard))
    loaded = load(path, {"ENFORCER_CLIENT_SECRET": "x"}).config
    assert affordable_limits(loaded).connections == connections
    assert affordable_limits(loaded).client_share == 50
