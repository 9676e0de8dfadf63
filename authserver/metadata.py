"""The authorization server metadata (RFC 8414)."""

from authserver.authentication import METHODS
from authserver.clients import Clients
from authserver.dpop import ALGORITHMS
from authserver.grants import GRANT_TYPES
from authserver.tokens import JsonObject

TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
INTROSPECT_PATH = "/oauth2/introspect"
REVOKE_PATH = "/oauth2/revoke"
JWKS_PATH = "/oauth2/jwks"

WELL_KNOWN = "/.well-known/oauth-authorization-server"
"""Inserted between the host and the path of the issuer (RFC 8414 §3)."""


def metadata(issuer: str, clients: Clients) -> JsonObject:
    """Return the metadata document (RFC 8414 §2)."""
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "introspection_endpoint": issuer + INTROSPECT_PATH,
        "revocation_endpoint": issuer + REVOKE_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "scopes_supported": sorted({scope for client in clients.values() for scope in client.scopes}),
        # Required, although no endpoint takes a response_type.
        "response_types_supported": [],
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(METHODS),
        "introspection_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": any(client.certificate_thumbprint for client in clients.values()),
    }
