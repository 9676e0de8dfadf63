import pytest

from authserver.clients import Clients
from authserver.endpoints import Endpoints
from authserver.errors import OAuthError
from authserver.signing import read_key
from authserver.store import Store

NOW = 1_800_000_000
ASK = {"grant_type": "client_credentials", "scope": "country.read"}


@pytest.fixture
def endpoints(store: Store, jwk: str, issuer: str) -> Endpoints:
    return Endpoints(issuer=issuer, key=read_key(jwk), store=store)


def issued(endpoints: Endpoints, clients: Clients, client_id: str) -> str:
    return str(endpoints.token(clients[client_id], ASK, NOW)["access_token"])


def introspected(endpoints: Endpoints, clients: Clients, token: str, now: int = NOW) -> dict[str, object]:
    return endpoints.introspect(clients["service-client-jwt"], {"token": token}, now)


def test_the_entry_of_a_client_says_which_tokens_it_gets(endpoints: Endpoints, clients: Clients) -> None:
    """A signed one has two dots, an opaque one has none."""
    assert issued(endpoints, clients, "user-client-opaque").count(".") == 0
    assert issued(endpoints, clients, "user-client-jwt").count(".") == 2


@pytest.mark.parametrize("client_id", ["user-client-opaque", "user-client-jwt"])
def test_a_token_is_active_until_it_expires(endpoints: Endpoints, clients: Clients, client_id: str) -> None:
    """Whatever its format."""
    token = issued(endpoints, clients, client_id)
    assert introspected(endpoints, clients, token, NOW + 14399)["active"] is True
    assert introspected(endpoints, clients, token, NOW + 14400) == {"active": False}


@pytest.mark.parametrize("client_id", ["user-client-opaque", "user-client-jwt"])
def test_a_revoked_token_is_not_active(endpoints: Endpoints, clients: Clients, client_id: str) -> None:
    """Whatever its format; and revoking it again is no error (RFC 7009 §2.2)."""
    token = issued(endpoints, clients, client_id)
    for _ in range(2):
        assert endpoints.revoke(clients[client_id], {"token": token}, NOW) == {}
        assert introspected(endpoints, clients, token) == {"active": False}


def test_a_client_revokes_only_its_own_tokens(endpoints: Endpoints, clients: Clients) -> None:
    """RFC 7009 §2.1."""
    token = issued(endpoints, clients, "user-client-opaque")
    with pytest.raises(OAuthError) as refusal:
        endpoints.revoke(clients["user-client-jwt"], {"token": token}, NOW)
    assert (refusal.value.code, refusal.value.status) == ("invalid_grant", 400)
    assert introspected(endpoints, clients, token)["active"] is True


def test_only_a_client_that_may_introspect_introspects(endpoints: Endpoints, clients: Clients) -> None:
    """Not even its own token."""
    token = issued(endpoints, clients, "user-client-opaque")
    with pytest.raises(OAuthError) as refusal:
        endpoints.introspect(clients["user-client-opaque"], {"token": token}, NOW)
    assert (refusal.value.code, refusal.value.status) == ("unauthorized_client", 403)


@pytest.mark.parametrize("act", ["introspect", "revoke"])
def test_the_token_is_required(endpoints: Endpoints, clients: Clients, act: str) -> None:
    """RFC 7662 §2.1, RFC 7009 §2.1."""
    with pytest.raises(OAuthError) as refusal:
        getattr(endpoints, act)(clients["service-client-jwt"], {"token_type_hint": "access_token"}, NOW)
    assert refusal.value.code == "invalid_request"


def test_a_signed_token_with_one_character_changed_is_unknown(endpoints: Endpoints, clients: Clients) -> None:
    """What the server has not issued is worth nothing, however it looks."""
    token = issued(endpoints, clients, "user-client-jwt")
    assert introspected(endpoints, clients, "x" + token[1:]) == {"active": False}
    assert introspected(endpoints, clients, token + "=") == {"active": False}
    assert introspected(endpoints, clients, "Å") == {"active": False}
