"""Authorization server metadata (RFC 8414)."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.metadata import EndpointName, Metadata, parse, well_known_urls

# RFC 8414 §3.2
ISSUER = "https://server.example.com"
FULL: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://server.example.com/authorize",
    "token_endpoint": "https://server.example.com/token",
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
    "userinfo_endpoint": "https://server.example.com/userinfo",
    "jwks_uri": "https://server.example.com/jwks.json",
    "introspection_endpoint": "https://server.example.com/introspect",
    "scopes_supported": ["openid", "profile"],
}


def body(**members: Any) -> bytes:
    return json.dumps({**FULL, **members}).encode()


def refused(data: bytes, issuer: str = ISSUER) -> str:
    with pytest.raises(IntrospectionError) as error:
        parse(data, issuer)
    assert error.value.reason is IntrospectionFailure.MALFORMED
    return error.value.detail


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://example.com",
            [
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration",
            ],
        ),
        (
            "https://example.com/",
            [
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration",
            ],
        ),
        (
            "https://example.com/issuer1",
            [
                "https://example.com/.well-known/oauth-authorization-server/issuer1",
                "https://example.com/.well-known/openid-configuration/issuer1",
                "https://example.com/issuer1/.well-known/openid-configuration",
            ],
        ),
        (
            "http://[::1]:8085/a/b/",
            [
                "http://[::1]:8085/.well-known/oauth-authorization-server/a/b",
                "http://[::1]:8085/.well-known/openid-configuration/a/b",
                "http://[::1]:8085/a/b/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_metadata_has_the_urls_of_both_standards(issuer: str, urls: list[str]) -> None:
    """RFC 8414 §3.1 and §5, OpenID Connect Discovery 1.0 §4.1."""
    assert list(well_known_urls(issuer)) == urls


@pytest.mark.parametrize(
    "issuer",
    [
        *("", "example.com", "https://", "https:///x", "ftp://example.com", "HTTPS://example.com", "https://a b"),
        *("https://user@example.com", "https://user:secret@example.com/x", "https://example.com@evil.example"),
        *("https://example.com?x", "https://example.com/a?x=y", "https://example.com/#x", "https://example.com\\x"),
        *("https://example.com/a b", "https://example.com/\n", "https://example.com/é", "https://example.com:x"),
    ],
)
def test_an_invalid_issuer_has_no_metadata_url(issuer: str) -> None:
    """RFC 8414 §2: a URL without query and fragment."""
    with pytest.raises(ValueError) as error:
        well_known_urls(issuer)
    assert "secret" not in str(error.value)


def test_the_example_of_the_rfc_is_read() -> None:
    """RFC 8414 §3.2."""
    names: tuple[EndpointName, ...] = ("introspection_endpoint", "jwks_uri", "token_endpoint")
    endpoints = {name: FULL[name] for name in names}
    assert parse(json.dumps(FULL).encode(), ISSUER) == Metadata(ISSUER, endpoints)


def test_a_missing_endpoint_is_absent() -> None:
    """RFC 8414 §2: endpoints are optional here; code that needs one reports its absence."""
    metadata = parse(json.dumps({"issuer": ISSUER, "jwks_uri": None}).encode(), ISSUER)
    assert metadata.endpoints == {}


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", ISSUER.upper(), ISSUER + ":443", "https://evil.example", "", None, 1, [ISSUER]]
)
def test_the_metadata_of_another_issuer_is_refused(issuer: Any) -> None:
    """RFC 8414 §3.3, §6.2: else one server could impersonate another."""
    assert "another issuer" in refused(body(issuer=issuer))
    assert "another issuer" in refused(json.dumps({"jwks_uri": FULL["jwks_uri"]}).encode())


@pytest.mark.parametrize("name", ["introspection_endpoint", "jwks_uri", "token_endpoint"])
@pytest.mark.parametrize(
    "url",
    [
        *("http://server.example.com/x", "//server.example.com/x", "/x", "ftp://x", "file:///etc/passwd", ""),
        *("https://user@server.example.com/", "https://server.example.com/#x", "https://server.example.com/a b"),
        *("https://server.example.com/x\r\nHost: evil", "https://server.example.com\\@evil.example/", 1, [], {}, True),
    ],
)
def test_an_unsafe_endpoint_is_refused(name: str, url: Any) -> None:
    """RFC 8414 §2: it must use https, because tokens and credentials are sent to it."""
    assert name in refused(body(**{name: url}))


def test_a_plain_http_issuer_may_have_plain_http_endpoints() -> None:
    """As configured; https endpoints are accepted as well."""
    issuer = "http://localhost:8085/ms-auth-server"
    metadata = parse(body(issuer=issuer, jwks_uri=f"{issuer}/jwks", token_endpoint="https://[::1]:1/t?a=b"), issuer)
    assert metadata.endpoints["jwks_uri"] == f"{issuer}/jwks"
    assert metadata.endpoints["token_endpoint"] == "https://[::1]:1/t?a=b"


def test_a_client_with_a_certificate_uses_the_mtls_aliases() -> None:
    """RFC 8705 §5: aliases replace the ordinary endpoints, only for such a client."""
    alias = "https://mtls.example.com/introspect"
    document = body(mtls_endpoint_aliases={"introspection_endpoint": alias, "token_endpoint": None})
    assert parse(document, ISSUER).endpoints["introspection_endpoint"] == FULL["introspection_endpoint"]
    metadata = parse(document, ISSUER, mutual_tls=True)
    unchanged = {name: FULL[name] for name in ("jwks_uri", "token_endpoint")}
    assert metadata.endpoints == {"introspection_endpoint": alias, **unchanged}


@pytest.mark.parametrize("aliases", [[], "x", 1, {"introspection_endpoint": "http://server.example.com/x"}])
def test_aliases_are_read_as_strictly_as_endpoints(aliases: Any) -> None:
    """Credentials are sent to them too."""
    document = body(mtls_endpoint_aliases=aliases)
    assert parse(document, ISSUER).issuer == ISSUER
    with pytest.raises(IntrospectionError):
        parse(document, ISSUER, mutual_tls=True)


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b"null", body()[:-1], b'{"issuer": "x", "issuer": "x"}'])
def test_metadata_that_is_not_an_object_is_refused(data: bytes) -> None:
    """RFC 8414 §3.2."""
    refused(data)


@given(st.text())
def test_any_issuer_has_https_urls_or_is_invalid(issuer: str) -> None:
    """And raises no other exception."""
    with suppress(ValueError):
        assert all(url.startswith("https://") for url in well_known_urls("https://" + issuer))


@given(
    st.binary() | st.dictionaries(st.sampled_from([*FULL]), st.text() | st.none()).map(lambda members: body(**members))
)
def test_any_bytes_are_metadata_or_malformed(data: bytes) -> None:
    """And raise no other exception."""
    with suppress(IntrospectionError):
        assert parse(data, ISSUER).issuer == ISSUER
