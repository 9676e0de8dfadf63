"""The answer to a caller whose client's request is allowed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from harness.carriers import CARRIERS, parse

from enforcer.decision_api.answers import AllowedAnswer

IDENTITY: Mapping[str, str] = {"X-Auth-Subject": "sub", "X-Auth-Scope": "scope"}
SUBJECT = b"X-Auth-Subject: alice\r\n"


def fields(answer: AllowedAnswer, identity: bytes, *forged: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    carrier = parse(CARRIERS["request"](b"GET", b"/", b"app", forged))
    lines = answer.lines(identity, carrier)
    assert {*lines[1::4], *lines[3::4]} == {b": ", b"\r\n"}
    return dict(zip(lines[::4], lines[2::4], strict=True))


def test_it_has_the_identity_fields_and_nothing_else() -> None:
    """Some callers copy all fields of the answer to the app."""
    answer = AllowedAnswer(IDENTITY, removes=False, authorization=True)
    expected = {b"Content-Length": b"0", b"Cache-Control": b"no-store", b"X-Auth-Subject": b"alice"}
    assert fields(answer, SUBJECT, (b"X-Auth-Scope", b"admin")) == expected


@pytest.mark.parametrize(
    ("identity", "forged", "authorization", "removed"),
    [
        (SUBJECT + b"X-Auth-Scope: a\r\n", [], False, None),
        (SUBJECT, [], False, b"x-auth-scope"),
        (b"", [], True, b"authorization,dpop,x-auth-subject,x-auth-scope"),
        (SUBJECT, [b"X-Auth-Scope", b"X_Auth_Subject", b"x_auth_subject"], False, b"x-auth-scope,x_auth_subject"),
        (SUBJECT, [b"X-Auth-Subject", b"X-Original-URL"], False, b"x-auth-scope,x-original-url"),
    ],
)
def test_envoy_removes_what_the_answer_does_not_set(
    identity: bytes, forged: list[bytes], authorization: bool, removed: bytes | None
) -> None:
    """Each identity field of the client, in every spelling, and what the proxy would remove; never what is set."""
    answer = AllowedAnswer(IDENTITY, removes=True, authorization=authorization)
    sent = [(name, b"admin") for name in forged]
    assert fields(answer, identity, *sent).get(b"x-envoy-auth-headers-to-remove") == removed
