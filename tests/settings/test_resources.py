"""Protected resources: identifiers as RFC 9728 §1.2 has them, and what follows from them."""

from __future__ import annotations

import pytest

from enforcer.errors import SettingsError
from enforcer.settings.resources import ProtectedResource


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://api.example.org", "https://api.example.org/.well-known/oauth-protected-resource"),
        ("https://api.example.org/", "https://api.example.org/.well-known/oauth-protected-resource"),
        ("https://api.example.org/mcp", "https://api.example.org/.well-known/oauth-protected-resource/mcp"),
        ("https://api.example.org/mcp/", "https://api.example.org/.well-known/oauth-protected-resource/mcp/"),
        ("https://[2001:db8::1]:8443/a/b", "https://[2001:db8::1]:8443/.well-known/oauth-protected-resource/a/b"),
        ("http://localhost:8091/v1.0", "http://localhost:8091/.well-known/oauth-protected-resource/v1.0"),
    ],
)
def test_the_metadata_url_has_the_well_known_path_between_host_and_path(resource: str, url: str) -> None:
    """RFC 9728 §3.1."""
    assert ProtectedResource(resource=resource).metadata_url == url


@pytest.mark.parametrize(
    "resource",
    [
        *("", "api.example.org", "ftp://api.example.org", "https://", "https://u:p@api.example.org/mcp"),
        *("https://api.example.org/mcp#x", "https://api.example.org/mcp?x=1", "https://API.example.org/mcp"),
        *("https://api.example.org/a//b", "https://api.example.org/../a", "https://api.example.org/a%2Fb"),
        *("https://api.example.org/{a}", "https://api.example.org/.hidden", "HTTPS://api.example.org"),
    ],
)
def test_an_identifier_that_clients_would_write_differently_is_an_error(resource: str) -> None:
    """They compare it as text."""
    with pytest.raises(SettingsError) as error:
        ProtectedResource(resource=resource)
    assert ("resource",) in error.value.errors


def test_scopes_are_scopes() -> None:
    """RFC 6749 §3.3."""
    with pytest.raises(SettingsError) as error:
        ProtectedResource(resource="https://api.example.org", scopes=("ok", "not ok"))
    assert list(error.value.errors) == [("scopes", 1)]


def test_an_audience_is_accepted_with_and_without_a_slash_at_the_end() -> None:
    """Some clients request a token for the one, others for the other."""
    for resource in ("https://api.example.org/mcp", "https://api.example.org/mcp/"):
        audience = ProtectedResource(resource=resource).audience
        assert set(audience) == {"https://api.example.org/mcp", "https://api.example.org/mcp/"}
        assert audience[0] == resource
