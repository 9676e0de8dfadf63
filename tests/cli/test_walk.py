import httpx
import pytest
from harness.servers import raw_server, response

from enforcer.cli._walk import Check, Step, Walk


@pytest.mark.parametrize(("expected", "got"), [(1, 1.0), (1, True), (1, "1"), (["a"], "a"), (None, False), ({}, [])])
def test_values_of_different_json_types_are_different(expected: object, got: object) -> None:
    """Python would take some of them for equal."""
    assert not Check("member", expected, got).right


def test_the_order_of_members_makes_no_difference() -> None:
    """It makes none to JSON."""
    assert Check("document", {"a": 1, "b": [2]}, {"b": [2], "a": 1}).right


def test_a_wrong_check_tells_both_values_as_json() -> None:
    """True and "true" are then told apart."""
    assert str(Check("active", True, "true")) == 'active: expected true, got "true"'


def walk(enforcer: str, issuer: str) -> list[Step]:
    """Go the whole walk."""
    with httpx.Client(trust_env=False) as client:
        return list(Walk(client, enforcer, issuer).steps())


@pytest.mark.parametrize(
    "body", [b"nonsense", b"[]", b"7", b'"text"', b"{}", b'{"access_token": 7, "exp": "1", "iat": true}', b"\xff\x00"]
)
def test_nonsense_makes_every_step_wrong(body: bytes) -> None:
    """Whatever comes, the walk goes on to its end."""
    with raw_server(lambda *_: response(body)) as server:
        steps = walk(f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/auth")
    assert [step.right for step in steps] == [False] * 6


def test_no_answer_makes_every_step_wrong() -> None:
    """And says so instead of an answer."""
    with raw_server(lambda *_: None) as server:
        steps = walk(f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/auth")
    assert [step.right for step in steps] == [False] * 6
    assert {step.answer[0].partition(":")[0] for step in steps} == {"no answer"}


def test_a_token_is_shortened_wherever_it_is_shown() -> None:
    """In the answer that brings it, in requests that carry it, and in answers that give it back."""
    token = "a-token-that-is-long-enough-to-be-worth-something"
    document = f'{{"access_token": "{token}", "again": "{token}"}}'.encode()
    with raw_server(lambda *_: response(document)) as server:
        steps = walk(f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/auth")
    shown = "\n".join(line for step in steps[1:] for line in (step.request, *step.answer))
    assert token not in shown
    assert '-H "Authorization: Bearer a-token-…"' in shown
    assert '"access_token": "a-token-…"' in shown
