"""The corpus of attacks, sent over raw sockets to the real process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from harness import corpora
from harness.heads import field_values, is_unambiguous, reaches_admin, request_line
from harness.servers import parse_fields
from harness.testbed import SENTINEL, ResponseReader, Testbed, connect, fresh_token, run_testbed

_KEYS = {
    "id", "source", "request", "each", "times", "big", "answers", "answers_at_most", "challenge", "ends", "upstream",
    "introspections", "asked", "fields", "body", "trailers",
}  # fmt: skip
_PLACEHOLDER = re.compile(r"\$(ADM|BIG|R|W|X|N|K|C)")


def _cases() -> Iterator[Any]:
    for stem, case in corpora.requests():
        assert case.keys() <= _KEYS, f"{stem}: {case['id']}: unknown {case.keys() - _KEYS}"
        assert case["source"]
        for number, variant in enumerate(case.get("each", [""]), 1):
            yield pytest.param(case, variant, id=f"{stem}: {case['id']}: {number}")


_earlier: set[str] = set()
"""Tokens of the attacks before. An enforcer may introspect one after its client has left, during the next attack."""


class Attack:
    """A case of the corpus with one of its variants: `§` is the variant, `$R` and its like are unseen tokens."""

    def __init__(self, case: dict[str, Any], variant: str) -> None:
        self.case = case
        self._variant = variant * case.get("times", 1)
        self._tokens: dict[str, str] = {"BIG": "a" * case.get("big", 0)}

    def fill(self, text: str) -> bytes:
        """Return a text with the variant and the tokens filled in."""
        text = text.replace("§", self._variant)
        return _PLACEHOLDER.sub(lambda match: self._token(match[1]), text).encode("latin-1")

    def lines(self, key: str) -> list[str] | None:
        """Return the filled-in lines of a key; None if the case has no such key."""
        lines = self.case.get(key)
        return None if lines is None else [self.fill(line).decode("latin-1") for line in lines]

    def _token(self, kind: str) -> str:
        return self._tokens.setdefault(kind, "") or self._tokens.setdefault(kind + "~", fresh_token(kind))

    def end(self) -> None:
        """Take no introspection of its tokens for one of a later attack."""
        _earlier.update(self._tokens.values())


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with run_testbed() as running:
        yield running
        assert [head for head in running.upstream.heads if reaches_admin(head)] == []
        assert [head for head in running.upstream.heads if not is_unambiguous(head)] == []


@pytest.mark.parametrize(("case", "variant"), list(_cases()))
def test_attack_fails(testbed: Testbed, case: dict[str, Any], variant: str) -> None:
    """An attack gets the expected response, and reaches nothing behind the enforcer that it must not reach."""
    attack = Attack(case, variant)
    forwarded, introspected = len(testbed.upstream.heads), len(testbed.authorization.lookups)
    request = attack.fill(case["request"])
    with connect(testbed.enforcer.port) as connection:
        _send(connection, request)
        _check_responses(attack, ResponseReader(connection), connection, request.startswith(b"HEAD "))
    _check_upstream(attack, testbed, forwarded)
    _check_introspections(attack, testbed, introspected)
    attack.end()


def _send(connection: Any, request: bytes) -> None:
    try:
        connection.sendall(request)
    except ConnectionError:
        return  # refused before its last byte; the refusal can still be read


def _check_responses(attack: Attack, responses: ResponseReader, connection: Any, head_only: bool) -> None:
    case = attack.case
    head = b""
    for expected in case.get("answers", ()):
        status, head, _ = responses.next(head_only=head_only)
        assert status in (expected if isinstance(expected, list) else [expected]), head
    if "answers_at_most" in case:
        try:
            status, head, _ = responses.next()
            assert status in case["answers_at_most"], head
        except EOFError:
            head = b"Connection: close"
    if "challenge" in case:
        challenges = case["challenge"] if isinstance(case["challenge"], list) else [case["challenge"]]
        assert field_values(head, "WWW-Authenticate") == [challenge.encode() for challenge in challenges]
    if case.get("ends") == "closed" or b"connection: close" in head.lower():
        assert responses.closed(), "the connection is still open"
    else:
        # The next response belongs to the sentinel, and not to anything sent before.
        connection.sendall(SENTINEL)
        status, head, body = responses.next()
        assert (status, body.partition(b" HTTP/1.1")[0]) == (200, b"GET /public/sentinel"), head


def _check_upstream(attack: Attack, testbed: Testbed, before: int) -> None:
    case = attack.case
    # A request that is cut while it is sent may arrive late, or not at all.
    heads = [head for head in testbed.upstream.heads[before:] if not re.match(rb"\w+ /public/(sentinel|cut) ", head)]
    lines = [request_line(head) for head in heads]
    if (expected := attack.lines("upstream")) is not None:
        assert lines == expected
    assert [head for head in heads if reaches_admin(head)] == []
    assert [head for head in heads if not is_unambiguous(head)] == []
    for name, values in case.get("fields", {}).items():
        assert field_values(heads[-1], name) == [attack.fill(value) for value in values], name
    if "body" in case:
        assert testbed.upstream.requests[_index(testbed, heads[0])][1] == attack.fill(case["body"])
    if "trailers" in case:
        assert testbed.upstream.trailers[_index(testbed, heads[0])] == attack.fill(case["trailers"])


def _index(testbed: Testbed, head: bytes) -> int:
    requests = testbed.upstream.requests
    return next(index for index in reversed(range(len(requests))) if requests[index][0] == head)


def _check_introspections(attack: Attack, testbed: Testbed, before: int) -> None:
    calls = [call for call in testbed.authorization.lookups[before:] if _token_in(call[1]) not in _earlier]
    if (expected := attack.case.get("introspections")) is not None:
        assert len(calls) == expected
    for _, body in calls:
        form = parse_qs(body.decode(), strict_parsing=True)
        assert (set(form), len(form["token"])) == ({"token", "token_type_hint"}, 1)
        if "asked" in attack.case:
            assert form["token"][0].encode() == attack.fill(attack.case["asked"])


def _token_in(body: bytes) -> str:
    """Return the token that a request for introspection is about."""
    return parse_qs(body.decode()).get("token", [""])[0]


def test_corpus_names_are_unique() -> None:
    """Names are unique, so that a failure names one case."""
    names = [(stem, case["id"]) for stem, case in corpora.requests()]
    assert len(names) == len(set(names))


def test_field_values_finds_every_spelling() -> None:
    """`field_values`, which the corpus relies on, finds every spelling of a name, and no other field."""
    head = b"GET / HTTP/1.1\r\nX-A: 1\r\nx_a: 2\r\nX.A: 3\r\nX-AB: 4\r\n\r\n"
    assert field_values(head, "X-A") == [b"1", b"2", b"3"]
    assert len(parse_fields(head)) == 4
