"""Lines of the decision log: written, and read again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decision_log.record import DecisionRecord, LogLine, log_line, parse
from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import Evidence, SkippedVerification
from enforcer.policy.rules import Rule
from enforcer.proxy.messages.responses import Refusal
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import read_claims
from enforcer.tokens.introspection.response import INACTIVE

RECORD = LogLine(
    time="2026-11-23T16:25:00Z",
    request_id="7f",
    method="GET",
    path="/a/b",
    route="read",
    decision="would_deny",
    reason="insufficient_scope",
    scopes=("a", "b"),
    client_id="walker",
    subject="alice",
    client="192.0.2.7",
    host="api.example.org",
    upstream="127.0.0.1:8090",
    status=200,
    duration=0.001234,
    bytes=42,
    door="proxy",
)


def test_a_decision_is_one_line_of_json() -> None:
    """With these members."""
    assert json.loads(RECORD.write()) == {
        "time": "2026-11-23T16:25:00Z",
        "request_id": "7f",
        "method": "GET",
        "path": "/a/b",
        "route": "read",
        "decision": "would_deny",
        "reason": "insufficient_scope",
        "scopes": ["a", "b"],
        "client_id": "walker",
        "subject": "alice",
        "client": "192.0.2.7",
        "host": "api.example.org",
        "upstream": "127.0.0.1:8090",
        "detail": None,
        "status": 200,
        "duration": 0.001234,
        "bytes": 42,
        "door": "proxy",
    }


texts = st.text(max_size=5)


@given(
    st.builds(
        LogLine,
        time=texts,
        request_id=st.none() | texts,
        method=texts,
        path=texts,
        route=texts,
        decision=texts,
        reason=texts,
        scopes=st.none() | st.lists(texts, max_size=3).map(tuple),
        client_id=st.none() | texts,
    )
)
def test_a_written_record_is_read_unchanged(record: LogLine) -> None:
    """It is always one line."""
    assert "\n" not in record.write()
    assert parse(record.write().encode()) == record


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"serving http://app on 0.0.0.0:8091",
        b"[]",
        b"{}",
        b'{"level": "info", "message": "started"}',
        RECORD.write().replace('"GET"', "1").encode(),
        RECORD.write().replace('["a", "b"]', '"a b"').encode(),
        RECORD.write().replace('["a", "b"]', "[1]").encode(),
        RECORD.write().replace('"walker"', "1").encode(),
        RECORD.write().replace('"7f"', "7").encode(),
        RECORD.write().encode()[:-1],
        b'"\xff"',
        b"[" * 100_000,
    ],
)
def test_another_line_is_not_a_decision(line: bytes) -> None:
    """The log of the process may be in the same file."""
    assert parse(line) is None


def test_unknown_members_are_ignored() -> None:
    """A later version may write more."""
    assert parse(json.dumps({**json.loads(RECORD.write()), "later": "app"}).encode()) == RECORD


def test_a_line_without_a_token_has_neither_scopes_nor_client() -> None:
    """A missing member is null."""
    optional = ("request_id", "scopes", "client_id")
    members = {name: value for name, value in json.loads(RECORD.write()).items() if name not in optional}
    line = parse(json.dumps(members).encode())
    assert line is not None
    assert (line.request_id, line.scopes, line.client_id) == (None, None, None)


RULE = Rule(name="read", path="/a/**", scopes=("a",))
DENIED = DecisionRecord(
    1_700_000_000.5,
    b"7f",
    b"GET",
    b"/a/b",
    RULE,
    ("deny", "insufficient_scope"),
    read_claims({"scope": "c b", "client_id": "walker", "sub": "alice", "secret": "claim"}),
    None,
    Refusal(403, "the token lacks a scope"),
)


def test_a_decision_is_recorded_with_scopes_client_and_subject_of_the_token() -> None:
    """Scopes in order, the client and the subject; no other claim."""
    assert log_line(DENIED, "2023-11-14T22:13:20.500+00:00") == LogLine(
        time="2023-11-14T22:13:20.500+00:00",
        request_id="7f",
        method="GET",
        path="/a/b",
        route="read",
        decision="deny",
        reason="insufficient_scope",
        scopes=("b", "c"),
        client_id="walker",
        subject="alice",
    )


@pytest.mark.parametrize(
    "evidence", [None, INACTIVE, NoToken.MISSING, IntrospectionFailure.TIMEOUT, SkippedVerification.TOO_MANY]
)
def test_a_decision_without_an_active_token_is_recorded_without_its_facts(evidence: Evidence | None) -> None:
    """For every kind of evidence that is not an active token."""
    line = log_line(DENIED._replace(evidence=evidence, rule=None, request_id=None), "now")
    assert (line.route, line.request_id, line.scopes, line.client_id) == ("_none", None, None, None)
    assert line.subject is None


def test_the_line_of_a_request_that_could_not_be_read_says_why() -> None:
    """As its response does. Other lines have reason and rule, which say it already."""
    unread = DENIED._replace(evidence=None, rule=None, label=("error", "unreadable_path"))
    assert log_line(unread, "now").detail == "the token lacks a scope"
    assert log_line(unread._replace(detail="why"), "now").detail == "why"
    assert log_line(unread._replace(refusal=None), "now").detail is None
    assert log_line(DENIED, "now").detail is None
