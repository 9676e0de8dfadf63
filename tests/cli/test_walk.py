"""The steps of the demo."""

import pytest
from harness import plain_http
from harness.servers import raw_server, response

from enforcer.cli._walk import Check, Step, Walk


@pytest.mark.parametrize(("expected", "got"), [(1, 1.0), (1, True), (1, "1"), (["a"], "a"), (None, False), ({}, [])])
def test_values_of_different_json_types_are_different(expected: object, got: object) -> None:
    """In Python some of them are equal, such as 1 and true."""
    assert not Check("member", expected, got).right


def test_the_order_of_members_does_not_matter() -> None:
    """JSON objects are unordered."""
    assert Check("document", {"a": 1, "b": [2]}, {"b": [2], "a": 1}).right


def test_a_failed_check_shows_both_values_as_json() -> None:
    """So that true and "true" look different."""
    assert str(Check("active", True, "true")) == 'active: expected true, got "true"'


def walk(enforcer: str, issuer: str) -> list[Step]:
    """Run all steps."""
    with plain_http.client() as client:
        return list(Walk(client, enforcer, issuer).steps())


@pytest.mark.parametrize(
    "body", [b"nonsense", b"[]", b"7", b'"text"', b"{}", b'{"access_token": 7, "exp": "1", "iat": true}', b"\xff\x00"]
)
def test_an_invalid_response_fails_every_step(body: bytes) -> None:
    """All steps run anyway."""
    with raw_server(lambda *_: response(body)) as server:
        steps = walk(f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/auth")
    assert [step.right for step in steps] == [False] * 6


def test_a_missing_response_fails_every_step() -> None:
    """The step says so instead of a response."""
    with raw_server(lambda *_: None) as server:
        steps = walk(f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/auth")
    assert [step.right for step in steps] == [False] * 6
    assert {step.response[0].partition(":")[0] for step in steps} == {"no response"}


def test_tokens_are_shortened_in_the_output() -> None:
    """In the token response, in requests with the token, and in responses that repeat it."""
    token = "a-token-that-is-long-enough-to-be-worth-something"
    document = f'{{"access_token": "{token}", "again": "{token}"}}'.encode()
    with raw_server(lambda *_: response(document)) as server:
        steps = walk(f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/auth")
    shown = "\n".join(line for step in steps[1:] for line in (step.request, *step.response))
    assert token not in shown
    assert '-H "Authorization: Bearer a-token-…"' in shown
    assert '"access_token": "a-token-…"' in shown
