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
def test_metadata_is_at_the_places_of_both_standards(issuer: str, urls: list[str]) -> None:
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
def test_what_is_no_issuer_has_no_metadata(issuer: str) -> None:
    """RFC 8414 §2: a URL without query and fragment."""
    with pytest.raises(ValueError) as error:
        well_known_urls(issuer)
    assert "secret" not in str(error.value)


def test_the_metadata_of_the_rfc_is_read() -> None:
    """RFC 8414 §3.2."""
    names: tuple[EndpointName, ...] = ("introspection_endpoint", "jwks_uri", "token_endpoint")
    endpoints = {name: FULL[name] for name in names}
    assert parse(json.dumps(FULL).encode(), ISSUER) == Metadata(ISSUER, endpoints)


def test_an_endpoint_that_a_server_has_not_is_not_there() -> None:
    """RFC 8414 §2: they are optional here; their user reports a missing one."""
    found = parse(json.dumps({"issuer": ISSUER, "jwks_uri": None}).encode(), ISSUER)
    assert found.endpoints == {}


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", ISSUER.upper(), ISSUER + ":443", "https://evil.example", "", None, 1, [ISSUER]]
)
def test_the_metadata_of_another_issuer_is_refused(issuer: Any) -> None:
    """RFC 8414 §3.3, §6.2: else one server could speak for another."""
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
def test_an_endpoint_that_must_not_be_called_is_refused(name: str, url: Any) -> None:
    """RFC 8414 §2: https, since tokens and credentials go there."""
    assert name in refused(body(**{name: url}))


def test_an_issuer_in_the_clear_may_have_endpoints_in_the_clear() -> None:
    """As the configuration says; it may have better ones, too."""
    issuer = "http://localhost:8085/ms-auth-server"
    found = parse(body(issuer=issuer, jwks_uri=f"{issuer}/jwks", token_endpoint="https://[::1]:1/t?a=b"), issuer)
    assert found.endpoints["jwks_uri"] == f"{issuer}/jwks"
    assert found.endpoints["token_endpoint"] == "https://[::1]:1/t?a=b"


def test_a_client_with_a_certificate_has_endpoints_of_its_own() -> None:
    """RFC 8705 §5: where there are such, they take the place of the others; for who has none they do not."""
    alias = "https://mtls.example.com/introspect"
    told = body(mtls_endpoint_aliases={"introspection_endpoint": alias, "token_endpoint": None})
    assert parse(told, ISSUER).endpoints["introspection_endpoint"] == FULL["introspection_endpoint"]
    found = parse(told, ISSUER, mutual_tls=True)
    others = {name: FULL[name] for name in ("jwks_uri", "token_endpoint")}
    assert found.endpoints == {"introspection_endpoint": alias, **others}


@pytest.mark.parametrize("aliases", [[], "x", 1, {"introspection_endpoint": "http://server.example.com/x"}])
def test_aliases_are_read_as_strictly(aliases: Any) -> None:
    """Credentials go there too."""
    told = body(mtls_endpoint_aliases=aliases)
    assert parse(told, ISSUER).issuer == ISSUER
    with pytest.raises(IntrospectionError):
        parse(told, ISSUER, mutual_tls=True)


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b"null", body()[:-1], b'{"issuer": "x", "issuer": "x"}'])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """RFC 8414 §3.2."""
    refused(data)


@given(st.text())
def test_any_issuer_has_places_or_is_none(issuer: str) -> None:
    """And never another exception."""
    with suppress(ValueError):
        assert all(url.startswith("https://") for url in well_known_urls("https://" + issuer))


@given(st.binary() | st.dictionaries(st.sampled_from([*FULL]), st.text() | st.none()).map(lambda found: body(**found)))
def test_any_bytes_are_metadata_or_malformed(data: bytes) -> None:
    """And never another exception."""
    with suppress(IntrospectionError):
        assert parse(data, ISSUER).issuer == ISSUER
