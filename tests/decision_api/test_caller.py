"""The callers of the decision API: whether they may ask, and what they say of their clients."""

from __future__ import annotations

import pytest
from harness.carriers import CALLER, CARRIERS, parse
from harness.playbook import Pipe

from enforcer.clients import Networks
from enforcer.decision_api.caller import Access, Caller
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.settings.forwarding import ForwardingSettings

ANYWHERE = Forwarding(ForwardingSettings())
BEHIND = Forwarding(ForwardingSettings(trusted_proxies=("10.0.0.0/8",)))
LISTED = Access(Networks((f"{CALLER}/32",)), None, certified=False)
OTHERS = Access(Networks(("203.0.113.0/24",)), None, certified=False)
SECRET = Access(None, b"hush", certified=False)
BOTH = Access(Networks((CALLER,)), b"hush", certified=False)
CERTIFIED = Access(None, None, certified=True)


def caller(access: Access, forwarding: Forwarding = ANYWHERE) -> Caller:
    return Caller(Pipe(address=CALLER), forwarding, "nginx", access)


@pytest.mark.parametrize(
    ("access", "secrets", "admitted"),
    [
        (LISTED, [], True),
        (OTHERS, [], False),
        (OTHERS, [b"hush"], False),
        (SECRET, [b"hush"], True),
        (SECRET, [b" hush\t"], True),
        (SECRET, [], False),
        (SECRET, [b"wrong"], False),
        (SECRET, [b""], False),
        (SECRET, [b"hush", b"hush"], False),
        (SECRET, [b"wrong", b"hush"], False),
        (BOTH, [b"hush"], True),
        (BOTH, [], False),
        (CERTIFIED, [], True),
    ],
)
def test_a_caller_meets_every_condition(access: Access, secrets: list[bytes], admitted: bool) -> None:
    """Address and secret; the certificate was checked by TLS."""
    head = parse(CARRIERS["nginx"](b"GET", b"/", b"app", [(b"X-Enforcer-Secret", secret) for secret in secrets]))
    assert caller(access).admits(access, head) is admitted


def test_another_spelling_of_the_secrets_field_is_not_it() -> None:
    """The proxy sets the one, and a client may send the other."""
    head = parse(CARRIERS["nginx"](b"GET", b"/", b"app", [(b"X_Enforcer_Secret", b"hush")]))
    assert not caller(SECRET).admits(SECRET, head)


def test_a_reload_changes_the_callers_of_open_connections() -> None:
    """Proxies keep connections for days."""
    head, peer = parse(CARRIERS["nginx"](b"GET", b"/", b"app", [])), caller(LISTED)
    assert [peer.admits(access, head) for access in (LISTED, OTHERS, LISTED)] == [True, False, True]


@pytest.mark.parametrize(
    ("forwarding", "chain", "address", "known"),
    [
        (ANYWHERE, b"192.0.2.7", "192.0.2.7", "192.0.2.7"),
        (ANYWHERE, b"203.0.113.1, 192.0.2.7", "192.0.2.7", "192.0.2.7"),
        (BEHIND, b"192.0.2.7, 10.0.0.1", "192.0.2.7", "192.0.2.7"),
        (BEHIND, b"10.0.0.1", "10.0.0.1", ""),
        (ANYWHERE, b"", CALLER, ""),
    ],
)
def test_the_client_is_the_one_that_the_caller_names(
    forwarding: Forwarding, chain: bytes, address: str, known: str
) -> None:
    """Also if only the listener's own settings trust it; behind it, other trusted proxies may be in the chain."""
    head = parse(b"GET / HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: %b\r\n\r\n" % chain)
    peer = caller(LISTED, forwarding)
    assert peer.sender(head, forwarding)[0] == address
    assert peer.known_address(head, forwarding) == known


@pytest.mark.parametrize(("access", "key"), [(LISTED, None), (CERTIFIED, None), (OTHERS, CALLER), (SECRET, CALLER)])
def test_only_known_callers_have_no_share_of_the_connections(access: Access, key: str | None) -> None:
    """A caller speaks for many clients; a stranger may connect, too, before its secret is seen to be wrong."""
    assert caller(access).key == key
