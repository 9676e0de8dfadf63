"""What the server says of itself."""

from authserver.authentication import METHODS
from authserver.clients import Clients
from authserver.dpop import ALGORITHMS
from authserver.grants import GRANT_TYPES
from authserver.tokens import Document

TOKEN = "/oauth2/token"  # noqa: S105 - a path
INTROSPECT = "/oauth2/introspect"
REVOKE = "/oauth2/revoke"
JWKS = "/oauth2/jwks"

WELL_KNOWN = "/.well-known/oauth-authorization-server"
"""What stands between the host and the path of the issuer (RFC 8414 §3)."""


def metadata(issuer: str, clients: Clients) -> Document:
    """Return the authorization server metadata (RFC 8414 §2)."""
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN,
        "introspection_endpoint": issuer + INTROSPECT,
        "revocation_endpoint": issuer + REVOKE,
        "jwks_uri": issuer + JWKS,
        "scopes_supported": sorted({scope for client in clients.values() for scope in client.scopes}),
        # Required even here, where no endpoint takes a response_type.
        "response_types_supported": [],
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(METHODS),
        "introspection_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": any(one.certificate_thumbprint for one in clients.values()),
    }
