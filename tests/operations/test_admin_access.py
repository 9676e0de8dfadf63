"""Access to the admin server."""

from __future__ import annotations

import socket

import pytest

from enforcer.operations.admin_access import AdminAccess
from enforcer.secret import Secret
from enforcer.settings.connections.servers import Admin

RIGHT, WRONG = "Bearer s3cret", "Bearer guess"


class Clock:
    """A clock that a test sets."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def access(clock: Clock | None = None, **settings: object) -> AdminAccess:
    configured = Admin(credential=Secret("s3cret"), **settings)  # type: ignore[arg-type]
    return AdminAccess(lambda: configured, clock or Clock())


@pytest.mark.parametrize(
    "host",
    [
        "10.1.2.3:9091",
        "127.0.0.1",
        "[::1]:9091",
        "[fe80::1%25eth0]:9091",
        "[2001:db8::1]",
        "localhost:9091",
        "LOCALHOST.:9091",
        "enforcer-admin",
        "enforcer.default.svc:9091",
        "enforcer.default.svc.cluster.local",
        "node.internal",
        f"{socket.gethostname()}:9091",
        "metrics.example.org",
        "Metrics.Example.org.:9091",
        "",
    ],
)
def test_addresses_internal_names_and_configured_ones_are_known(host: str) -> None:
    """Prometheus and kubelets use the pod's address, operators the Service's name or a tunnel on localhost."""
    assert access(hosts=("metrics.example.org",)).is_known(host)


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example:9091",
        "10.1.2.3.attacker.example",
        "localhost.attacker.example",
        "a.svc.b:1",
    ],
)
def test_other_names_are_not(host: str) -> None:
    """Each is counted."""
    admin = access(hosts=("metrics.example.org",))
    assert not admin.is_known(host)
    assert admin.refused["host"] == 1


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", WRONG, "Basic s3cret", "Bearer s3cret2"])
def test_only_the_credential_is_right(authorization: str) -> None:
    """With the scheme Bearer, in any case."""
    assert access().wait("10.0.0.1", authorization) == 0.0
    assert access().wait("10.0.0.1", RIGHT) is None
    assert access().wait("10.0.0.1", "bearer s3cret") is None


def test_guesses_are_limited_and_counted() -> None:
    """So is the right credential after them, or a guess could be right; a second later there is another try."""
    clock = Clock()
    admin = access(clock, wrong_credentials=3)
    assert [admin.wait("10.0.0.1", WRONG) for _ in range(3)] == [0.0] * 3
    assert admin.wait("10.0.0.1", RIGHT) == 1.0
    assert (admin.refused["credential"], admin.refused["limit"]) == (3, 1)
    clock.now += 1.0
    assert admin.wait("10.0.0.1", RIGHT) is None


def test_other_clients_and_the_right_credential_are_not_limited() -> None:
    """A client is an IPv4 address, or the /64 of an IPv6 address."""
    admin = access(wrong_credentials=1)
    assert all(admin.wait("10.0.0.1", RIGHT) is None for _ in range(10))
    assert admin.wait("2001:db8::1", WRONG) == 0.0
    assert admin.wait("2001:db8::2", WRONG) == 1.0
    assert admin.wait("2001:db8:0:1::1", RIGHT) is None
    assert admin.wait("10.0.0.1", RIGHT) is None


def test_a_request_without_a_credential_is_no_guess() -> None:
    """A browser sends one before it asks for the credential."""
    admin = access(wrong_credentials=1)
    assert [admin.wait("10.0.0.1", "") for _ in range(5)] == [0.0] * 5
    assert admin.refused["credential"] == 0
