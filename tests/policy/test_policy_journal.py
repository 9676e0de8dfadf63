"""A line of the decision log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.policy.journal import Record, parse

RECORD = Record(
    time="2026-11-23T16:25:00Z",
    method="GET",
    path="/a/b",
    route="read",
    decision="would_deny",
    reason="insufficient_scope",
    scopes=("a", "b"),
    client_id="walker",
)


def test_a_decision_is_one_line_of_json() -> None:
    """With these members."""
    assert json.loads(RECORD.write()) == {
        "time": "2026-11-23T16:25:00Z",
        "method": "GET",
        "path": "/a/b",
        "route": "read",
        "decision": "would_deny",
        "reason": "insufficient_scope",
        "scopes": ["a", "b"],
        "client_id": "walker",
    }


texts = st.text(max_size=5)


@given(
    st.builds(
        Record,
        time=texts,
        method=texts,
        path=texts,
        route=texts,
        decision=texts,
        reason=texts,
        scopes=st.none() | st.lists(texts, max_size=3).map(tuple),
        client_id=st.none() | texts,
    )
)
def test_what_is_written_is_read(record: Record) -> None:
    """And stays on its line."""
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
        RECORD.write().encode()[:-1],
        b'"\xff"',
        b"[" * 100_000,
    ],
)
def test_what_is_no_decision_is_none(line: bytes) -> None:
    """Other lines may stand in the same file."""
    assert parse(line) is None


def test_members_that_are_not_known_are_passed_over() -> None:
    """A later version may say more."""
    assert parse(json.dumps({**json.loads(RECORD.write()), "host": "app"}).encode()) == RECORD


def test_a_line_without_a_token_has_neither_scopes_nor_client() -> None:
    """Absent is null."""
    line = {name: value for name, value in json.loads(RECORD.write()).items() if name not in ("scopes", "client_id")}
    found = parse(json.dumps(line).encode())
    assert found is not None
    assert (found.scopes, found.client_id) == (None, None)
