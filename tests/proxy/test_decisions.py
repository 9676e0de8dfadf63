"""What is kept of decisions, and under which id."""

import re

import pytest
from harness.snapshots import snapshot

from enforcer.policy.decision import Label
from enforcer.policy.journal import Decided
from enforcer.proxy.decisions import Decisions, Keeping, given_id, identify, path_of
from enforcer.proxy.request import RequestHead
from enforcer.settings.log import Logged

SNAPSHOT = snapshot()
TOKEN = b"0123456789abcdef"
ALLOWED: Label = ("allow", "ok")
DENIALS: list[Label] = [("deny", "no_rule"), ("would_deny", "no_rule"), ("error", "request_rejected")]


def decided(label: Label, request_id: bytes | None = None) -> Decided:
    return Decided(0.0, request_id, b"GET", b"/", [b""], None, label, None, None, None)


def keeping(denials: int = 3, logged: Logged = "none", backlog: int = 3) -> Keeping:
    return Keeping(denials, logged, backlog)


def head(
    *fields: tuple[bytes, bytes], target: bytes = b"/a/b?c=d", authorization: bytes | None = b"Bearer " + TOKEN
) -> RequestHead:
    request = RequestHead(SNAPSHOT)
    request.target = target
    request.authorization = authorization
    for name, value in fields:
        request.lines += (name, b": ", value, b"\r\n")
    return request


def test_the_last_denials_are_found_by_their_id() -> None:
    """As many as the settings say, the oldest first; one id may stand for several."""
    decisions = Decisions()
    for number in range(5):
        decisions.take(decided(DENIALS[number % 3], b"%d" % (number % 2)), keeping())
    decisions.take(decided(ALLOWED, b"0"), keeping())
    assert [one.label for one in decisions.find(b"0")] == [DENIALS[2], DENIALS[1]]
    assert [one.label for one in decisions.find(b"1")] == [DENIALS[0]]
    assert decisions.find(b"2") == []


def test_fewer_are_kept_as_soon_as_the_settings_say_so() -> None:
    """They may change while it runs."""
    decisions = Decisions()
    for _ in range(5):
        decisions.take(decided(DENIALS[0], b"1"), keeping(denials=5))
    decisions.take(decided(DENIALS[1], b"1"), keeping(denials=1))
    assert [one.label for one in decisions.find(b"1")] == [DENIALS[1]]
    decisions.take(decided(DENIALS[1], b"1"), keeping(denials=0))
    assert decisions.find(b"1") == []


@pytest.mark.parametrize(("logged", "kept"), [("none", []), ("denied", DENIALS), ("all", [ALLOWED, *DENIALS])])
def test_what_is_logged_waits_to_be_written(logged: Logged, kept: list[Label]) -> None:
    """In the order that it was decided in."""
    decisions = Decisions()
    for label in (ALLOWED, *DENIALS):
        decisions.take(decided(label), keeping(logged=logged, backlog=10))
    assert [one.label for one in decisions.backlog] == kept
    assert decisions.left_out == 0


def test_what_cannot_be_written_in_time_is_left_out_and_counted() -> None:
    """The backlog is bounded, and takes more as soon as there is room."""
    decisions = Decisions()
    for _ in range(5):
        decisions.take(decided(ALLOWED), keeping(logged="all"))
    assert (len(decisions.backlog), decisions.left_out) == (3, 2)
    decisions.backlog.popleft()
    decisions.take(decided(DENIALS[0]), keeping(logged="all"))
    assert (len(decisions.backlog), decisions.left_out) == (3, 2)


@pytest.mark.parametrize(
    "given", [b"1", b"0af7651916cd43dd8448eb211c80319c", b"a:b/c+d=e@f.g~h_i-j", b"x" * 128, b"f47ac10b-58cc-4372"]
)
def test_an_id_of_the_clients_that_is_plain_is_kept(given: bytes) -> None:
    """It is the one that the client can be asked for; a short one tells nothing, wherever else it stands."""
    request = head((b"Accept", b"*/*"), (b"x-request-ID", given), target=b"/countries/1")
    assert (identify(request), given_id(request)) == (given, given)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="none"),
        pytest.param([b"1", b"1"], id="two"),
        pytest.param([b""], id="empty"),
        pytest.param([b"x" * 129], id="too long"),
        pytest.param([b"a b"], id="blank"),
        pytest.param([b'a"b'], id="quote"),
        pytest.param([b"a,b"], id="comma"),
        pytest.param([b"\xe9"], id="not ASCII"),
        pytest.param([b"\x1b[31m"], id="escape"),
        pytest.param([b"a\n"], id="line break"),
        pytest.param([TOKEN], id="the token"),
        pytest.param([TOKEN + b"-1"], id="with the token in it"),
        pytest.param([TOKEN[:10]], id="a part of the token"),
        pytest.param([b"secretquery"], id="a part of the query"),
    ],
)
def test_any_other_id_is_replaced_by_one_of_ours(fields: list[bytes]) -> None:
    """A refusal always has one; a request that passes needs none."""
    request = head(*((b"X-Request-Id", value) for value in fields), target=b"/a?token=secretquery")
    assert given_id(request) is None
    first, second = identify(request), identify(request)
    assert re.fullmatch(rb"[0-9a-f]{16}", first)
    assert first != second


def test_the_path_is_kept_without_its_query() -> None:
    """As it was sent."""
    assert path_of(head(target=b"/a/%62?c=d?e"), [b"a", b"b"]) == (b"/a/%62", [b"a", b"b"])
    assert path_of(head(target=b"/", authorization=None), [b""]) == (b"/", [b""])


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        (b"/a/" + TOKEN, [b"a", TOKEN]),
        (b"/a/x" + TOKEN + b"x", [b"a", b"x" + TOKEN + b"x"]),
        (b"/a/%30123456789abcdef", [b"a", TOKEN]),
        (b"/a/23456789", [b"a", b"23456789"]),
    ],
)
def test_a_path_that_tells_the_token_is_hidden(target: bytes, segments: list[bytes]) -> None:
    """Whole, encoded or in parts; where it is too short to tell anything, it stays."""
    assert path_of(head(target=target), segments) == (b"/[hidden]", [b"[hidden]"] * 2)
    assert path_of(head(target=target, authorization=None), segments) == (target, segments)
    assert path_of(head(target=target, authorization=b"Bearer other-token"), segments) == (target, segments)
    assert path_of(head(target=b"/a/abc", authorization=b"Bearer abc"), [b"a", b"abc"])[0] == b"/a/abc"
