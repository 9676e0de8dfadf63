"""Settings that become HTTP fields must be valid as fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from enforcer.config.validate.http_fields import check_challenge, check_forwarding, check_response_field
from enforcer.errors import SettingsError
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.forwarding import ForwardingSettings


def errors_of(**settings: Any) -> Mapping[tuple[str | int, ...], str]:
    with pytest.raises(SettingsError) as refused:
        check_forwarding(ForwardingSettings(**settings))
    return refused.value.errors


def test_the_defaults_are_valid() -> None:
    """They are returned unchanged."""
    assert check_forwarding(ForwardingSettings()) == ForwardingSettings()
    assert check_challenge(ChallengeSettings()) == ChallengeSettings()


@pytest.mark.parametrize("name", ["X Auth", "X-Größe", "X:A", "", "X-A\r\nX-B", 'X-"'])
def test_an_identity_field_needs_a_valid_name(name: str) -> None:
    """RFC 9110 §5.1: a token. Anything else could split the request head."""
    assert errors_of(identity={name: "sub"}) == {
        ("identity", name): "not a valid field name: use letters, digits and hyphens"
    }


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "Authorization", "DPoP", "Cookie", "Via", "Forwarded", "Client-Cert"),
        *("Connection", "Transfer-Encoding", "Keep-Alive", "X-Forwarded-For", "x_forwarded_prefix", "Content_Length"),
    ],
)
def test_an_identity_field_has_no_other_meaning(name: str) -> None:
    """In any case, and with _ for -, which many apps do not distinguish."""
    ((path, message),) = errors_of(identity={name: "sub"}).items()
    assert path == ("identity", name)
    assert message.startswith("this field has a meaning of its own")


def test_an_identity_field_may_be_one_that_looks_like_a_forwarding_field() -> None:
    """Apps made for oauth2-proxy read these, and no client or proxy can send them past the enforcer."""
    settings = ForwardingSettings(identity={"X-Forwarded-User": "sub", "X-Forwarded-Groups": "groups"})
    assert check_forwarding(settings) is settings


def test_two_identity_fields_differ_for_every_app() -> None:
    """CGI and WSGI map both names to HTTP_X_AUTH_SUBJECT, so that one would hide the other."""
    assert errors_of(identity={"X-Auth-Subject": "sub", "x_auth_subject": "name"}) == {
        ("identity", "x_auth_subject"): "many apps cannot tell this field from X-Auth-Subject; choose another"
    }


@pytest.mark.parametrize("claim", ["a..b", ".a", "a.", "/a//b", "/"])
def test_the_name_of_a_nested_claim_has_no_empty_part(claim: str) -> None:
    """No token has such a claim, so that the field would always be absent."""
    assert errors_of(identity={"X-A": claim}) == {("identity", "X-A"): "a part of the claim's name is empty"}


def test_all_errors_are_reported_at_once() -> None:
    """Each with the path of its value."""
    errors = errors_of(
        identity={"X-A": "", "X-B": "sub"}, trusted_proxies=("10.0.0.0/8", "10.0.0.0/33", "proxy"), client_cert=True
    )
    assert set(errors) == {("identity", "X-A"), ("trusted_proxies", 1), ("trusted_proxies", 2)}


@pytest.mark.parametrize("proxy", ["10.0.0.1", "10.0.0.0/8", "10.1.2.3/8", "::1", "fd00::/8"])
def test_a_trusted_proxy_is_an_address_or_a_network(proxy: str) -> None:
    """Of both IP families; bits after the prefix are ignored."""
    settings = ForwardingSettings(trusted_proxies=(proxy,), client_cert=True)
    assert check_forwarding(settings) is settings


def test_client_cert_needs_trusted_proxies() -> None:
    """RFC 9440 §4: otherwise any client could claim any certificate."""
    assert errors_of(client_cert=True) == {
        ("client_cert",): "needs trusted_proxies: the Client-Cert field is believed only from them"
    }


@pytest.mark.parametrize("name", ["X-Enforcer-Would-Deny", "x-a"])
def test_a_response_field_begins_with_x(name: str) -> None:
    """So that it cannot replace a field with a meaning, such as Set-Cookie."""
    assert check_response_field(name) == name


@pytest.mark.parametrize("name", ["Set-Cookie", "Content-Length", "XA", "", "X-A b", "X-Ä", "X-A\n"])
def test_another_response_field_is_an_error(name: str) -> None:
    """The message has an example."""
    with pytest.raises(ValueError, match="such as X-Enforcer-Would-Deny"):
        check_response_field(name)


@pytest.mark.parametrize("text", ["a\r\nSet-Cookie: b", "ä", "a\x00", "a\tb", "\x7f"])
@pytest.mark.parametrize("name", ["realm", "resource_metadata"])
def test_a_challenge_is_printable_ascii(name: str, text: str) -> None:
    """A line break would add a field to the refusal."""
    values: dict[str, Any] = {name: text}
    with pytest.raises(SettingsError) as refused:
        check_challenge(ChallengeSettings(**values))
    assert refused.value.errors == {(name,): "expected printable ASCII"}


def test_quotes_are_allowed_in_a_realm() -> None:
    """They are escaped when the challenge is written."""
    settings = ChallengeSettings(realm='the "app" \\', resource_metadata="https://app.example.org/metadata")
    assert check_challenge(settings) is settings
