"""The corpus of attacks, over raw sockets, against the real process."""

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
_PLACE = re.compile(r"\$(ADM|BIG|R|W|X|N|K|C)")


def _cases() -> Iterator[Any]:
    for stem, case in corpora.requests():
        assert case.keys() <= _KEYS, f"{stem}: {case['id']}: unknown {case.keys() - _KEYS}"
        assert case["source"]
        for number, variant in enumerate(case.get("each", [""]), 1):
            yield pytest.param(case, variant, id=f"{stem}: {case['id']}: {number}")


class Attack:
    """One case of the corpus with one of its variants: `§` is the variant, `$R` and its like are fresh tokens."""

    def __init__(self, case: dict[str, Any], variant: str) -> None:
        self.case = case
        self._variant = variant * case.get("times", 1)
        self._tokens: dict[str, str] = {"BIG": "a" * case.get("big", 0)}

    def fill(self, text: str) -> bytes:
        text = text.replace("§", self._variant)
        return _PLACE.sub(lambda found: self._token(found[1]), text).encode("latin-1")

    def lines(self, key: str) -> list[str] | None:
        lines = self.case.get(key)
        return None if lines is None else [self.fill(line).decode("latin-1") for line in lines]

    def _token(self, worth: str) -> str:
        return self._tokens.setdefault(worth, "") or self._tokens.setdefault(worth + "~", fresh_token(worth))


@pytest.fixture(scope="module")
def ground() -> Iterator[Testbed]:
    with run_testbed() as laid:
        yield laid
        assert [head for head in laid.upstream.heads if reaches_admin(head)] == []
        assert [head for head in laid.upstream.heads if not is_unambiguous(head)] == []


@pytest.mark.parametrize(("case", "variant"), list(_cases()))
def test_attack_fails(ground: Testbed, case: dict[str, Any], variant: str) -> None:
    """An attack gets the answer that is due, and reaches nothing behind the enforcer that it should not."""
    attack = Attack(case, variant)
    before, asked = len(ground.upstream.heads), len(ground.authorization.requests)
    request = attack.fill(case["request"])
    with connect(ground.enforcer.port) as connection:
        _send(connection, request)
        _check_answers(attack, ResponseReader(connection), connection, request.startswith(b"HEAD "))
    _check_upstream(attack, ground, before)
    _check_introspections(attack, ground, asked)


def _send(connection: Any, request: bytes) -> None:
    try:
        connection.sendall(request)
    except ConnectionError:
        return  # it was refused before its last byte, and what was said of it can still be read


def _check_answers(attack: Attack, answers: ResponseReader, connection: Any, head_only: bool) -> None:
    case = attack.case
    head = b""
    for wanted in case.get("answers", ()):
        status, head, _ = answers.next(head_only=head_only)
        assert status in (wanted if isinstance(wanted, list) else [wanted]), head
    if "answers_at_most" in case:
        try:
            status, head, _ = answers.next()
            assert status in case["answers_at_most"], head
        except EOFError:
            head = b"Connection: close"
    if "challenge" in case:
        wanted = case["challenge"] if isinstance(case["challenge"], list) else [case["challenge"]]
        assert field_values(head, "WWW-Authenticate") == [challenge.encode() for challenge in wanted]
    if case.get("ends") == "closed" or b"connection: close" in head.lower():
        assert answers.closed(), "the connection is still open"
    else:
        # What is answered now is the next request, and nothing that was sent before.
        connection.sendall(SENTINEL)
        status, head, body = answers.next()
        assert (status, body.partition(b" HTTP/1.1")[0]) == (200, b"GET /public/sentinel"), head


def _check_upstream(attack: Attack, ground: Testbed, before: int) -> None:
    case = attack.case
    # What is cut while it is sent may come late, or not at all.
    heads = [head for head in ground.upstream.heads[before:] if not re.match(rb"\w+ /public/(sentinel|cut) ", head)]
    lines = [request_line(head) for head in heads]
    if (wanted := attack.lines("upstream")) is not None:
        assert lines == wanted
    assert [head for head in heads if reaches_admin(head)] == []
    assert [head for head in heads if not is_unambiguous(head)] == []
    for name, values in case.get("fields", {}).items():
        assert field_values(heads[-1], name) == [attack.fill(value) for value in values], name
    if "body" in case:
        assert ground.upstream.requests[_place(ground, heads[0])][1] == attack.fill(case["body"])
    if "trailers" in case:
        assert ground.upstream.trailers[_place(ground, heads[0])] == attack.fill(case["trailers"])


def _place(ground: Testbed, head: bytes) -> int:
    return next(at for at in reversed(range(len(ground.upstream.requests))) if ground.upstream.requests[at][0] == head)


def _check_introspections(attack: Attack, ground: Testbed, before: int) -> None:
    calls = ground.authorization.requests[before:]
    if (wanted := attack.case.get("introspections")) is not None:
        assert len(calls) == wanted
    for _, body in calls:
        form = parse_qs(body.decode(), strict_parsing=True)
        assert (form.keys(), len(form["token"])) == ({"token", "token_type_hint"}, 1)
        if "asked" in attack.case:
            assert form["token"][0].encode() == attack.fill(attack.case["asked"])


def test_corpus_tells_its_names_apart() -> None:
    """A case is named once, so that a failure names one case."""
    names = [(stem, case["id"]) for stem, case in corpora.requests()]
    assert len(names) == len(set(names))


def test_fields_of_an_answer_are_told_apart() -> None:
    """The reading of fields that the corpus relies on sees every spelling, and no other field."""
    head = b"GET / HTTP/1.1\r\nX-A: 1\r\nx_a: 2\r\nX.A: 3\r\nX-AB: 4\r\n\r\n"
    assert field_values(head, "X-A") == [b"1", b"2", b"3"]
    assert len(parse_fields(head)) == 4
