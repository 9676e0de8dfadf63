"""The authorization server metadata."""

from authserver.clients import Clients
from authserver.metadata import metadata


def test_the_metadata_lists_the_endpoints_below_the_issuer(clients: Clients) -> None:
    """With every member of RFC 8414 §2 that applies."""
    methods = ["client_secret_basic", "client_secret_post"]
    assert {
        "issuer": "https://as.example/x",
        "token_endpoint": "https://as.example/x/oauth2/token",
        "introspection_endpoint": "https://as.example/x/oauth2/introspect",
        "revocation_endpoint": "https://as.example/x/oauth2/revoke",
        "jwks_uri": "https://as.example/x/oauth2/jwks",
        "scopes_supported": ["country.read", "country.write", "profile"],
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "dpop_signing_alg_values_supported": ["ES256", "PS256", "RS256"],
        "tls_client_certificate_bound_access_tokens": False,
    } == metadata("https://as.example/x", clients)
