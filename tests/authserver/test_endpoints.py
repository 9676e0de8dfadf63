"""Token, introspection and revocation, without HTTP."""

import pytest

from authserver.clients import Clients
from authserver.endpoints import Endpoints
from authserver.errors import OAuthError
from authserver.signing import read_key
from authserver.store import TokenStore

NOW = 1_800_000_000
REQUEST = {"grant_type": "client_credentials", "scope": "country.read"}


@pytest.fixture
def endpoints(store: TokenStore, jwk: str, issuer: str) -> Endpoints:
    return Endpoints(issuer=issuer, key=read_key(jwk), store=store)


def issued(endpoints: Endpoints, clients: Clients, client_id: str) -> str:
    return str(endpoints.token(clients[client_id], REQUEST, NOW)["access_token"])


def introspected(endpoints: Endpoints, clients: Clients, token: str, now: int = NOW) -> dict[str, object]:
    return endpoints.introspect(clients["service-client-jwt"], {"token": token}, now)


def test_the_client_entry_sets_the_token_format(endpoints: Endpoints, clients: Clients) -> None:
    """A signed token has two dots, an opaque token has none."""
    assert issued(endpoints, clients, "user-client-opaque").count(".") == 0
    assert issued(endpoints, clients, "user-client-jwt").count(".") == 2


@pytest.mark.parametrize("client_id", ["user-client-opaque", "user-client-jwt"])
def test_a_token_is_active_until_it_expires(endpoints: Endpoints, clients: Clients, client_id: str) -> None:
    """In both formats."""
    token = issued(endpoints, clients, client_id)
    assert introspected(endpoints, clients, token, NOW + 14399)["active"] is True
    assert introspected(endpoints, clients, token, NOW + 14400) == {"active": False}


@pytest.mark.parametrize("client_id", ["user-client-opaque", "user-client-jwt"])
def test_a_revoked_token_is_not_active(endpoints: Endpoints, clients: Clients, client_id: str) -> None:
    """In both formats. Revoking it again is not an error (RFC 7009 §2.2)."""
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


def test_a_client_without_permission_cannot_introspect(endpoints: Endpoints, clients: Clients) -> None:
    """Not even its own token."""
    token = issued(endpoints, clients, "user-client-opaque")
    with pytest.raises(OAuthError) as refusal:
        endpoints.introspect(clients["user-client-opaque"], {"token": token}, NOW)
    assert (refusal.value.code, refusal.value.status) == ("unauthorized_client", 403)


@pytest.mark.parametrize("operation", ["introspect", "revoke"])
def test_the_token_is_required(endpoints: Endpoints, clients: Clients, operation: str) -> None:
    """RFC 7662 §2.1, RFC 7009 §2.1."""
    with pytest.raises(OAuthError) as refusal:
        getattr(endpoints, operation)(clients["service-client-jwt"], {"token_type_hint": "access_token"}, NOW)
    assert refusal.value.code == "invalid_request"


def test_a_modified_signed_token_is_unknown(endpoints: Endpoints, clients: Clients) -> None:
    """A token that the server did not issue is not active, even if it looks like an issued one."""
    token = issued(endpoints, clients, "user-client-jwt")
    assert introspected(endpoints, clients, "x" + token[1:]) == {"active": False}
    assert introspected(endpoints, clients, token + "=") == {"active": False}
    assert introspected(endpoints, clients, "Å") == {"active": False}
