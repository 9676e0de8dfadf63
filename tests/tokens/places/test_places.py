"""Places of a token: it is taken out of a request, and the rest stays byte by byte."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.settings.token_places import TokenPlaces
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.places.places import Places, TakenToken, combine

MISSING, INVALID, MALFORMED = NoToken.MISSING, NoToken.INVALID_REQUEST, NoToken.MALFORMED
Fields = list[tuple[str, str]]


def lines_of(fields: Fields) -> list[bytes]:
    return [piece for name, value in fields for piece in (name.encode(), b": ", value.encode(), b"\r\n")]


def take(fields: Fields, target: str = "/a", *, forwards_authorization: bool = True, **places: Any) -> TakenToken:
    values = [value.encode() for name, value in fields if name.lower() == "authorization"]
    passed = [field for field in fields if forwards_authorization or field[0].lower() != "authorization"]
    compiled = Places(TokenPlaces(**places), restores_authorization=not forwards_authorization)
    return compiled.take(values[-1] if values else None, len(values), lines_of(passed), target.encode())


def fields_of(taken: TakenToken) -> Fields:
    return [(taken.lines[index].decode(), taken.lines[index + 2].decode()) for index in range(0, len(taken.lines), 4)]


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def encoded(token: str) -> str:
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


K8S = "base64url.bearer.authorization.k8s.io."
HOST = ("Host", "app")


@pytest.mark.parametrize(
    ("places", "fields", "token", "remaining"),
    [
        ({"header": "X-Token"}, [("x-token", " abc ")], b"abc", []),
        ({"header": "X-Token", "prefix": "Token "}, [("X-Token", "token  abc")], b"abc", []),
        ({"header": "X-Token", "prefix": "Token "}, [("X-Token", "abc")], MISSING, [("X-Token", "abc")]),
        ({"header": "X-Token"}, [("X-Token", "")], MISSING, []),
        ({"header": "X-Token"}, [("X-Token", "a b")], MALFORMED, []),
        ({"header": "X-Token"}, [("X-Token", "a"), ("X-Token", "a")], INVALID, []),
        ({"header": "X-Token"}, [("X_Token", "a")], MISSING, []),
        ({"header": "X-Token"}, [("X-Token", "abc"), ("X.token", "a")], b"abc", []),
        ({"subprotocol": "t."}, [("Sec_WebSocket_Protocol", "t.a"), HOST], MISSING, [HOST]),
        ({"cookie": "t"}, [("X_Token", "a")], MISSING, [("X_Token", "a")]),
        ({"cookie": "t"}, [("Cookie", "t=abc")], b"abc", []),
        ({"cookie": "t"}, [("Cookie", "a=1; t=abc; b=2; T=3")], b"abc", [("Cookie", "a=1; b=2; T=3")]),
        ({"cookie": "t"}, [("Cookie", "t=abc; a=1")], b"abc", [("Cookie", "a=1")]),
        (
            {"cookie": "t"},
            [("Cookie", "a=1"), ("Cookie", "t=abc=="), ("Cookie", "b=2")],
            b"abc==",
            [("Cookie", "a=1"), ("Cookie", "b=2")],
        ),
        ({"cookie": "t"}, [("Cookie", "a=1 ;b= 2")], MISSING, [("Cookie", "a=1 ;b= 2")]),
        ({"cookie": "t"}, [("Cookie", "t=")], MISSING, []),
        ({"cookie": "t"}, [("Cookie", "t=a; t=a")], INVALID, []),
        ({"cookie": "t"}, [("Cookie", "t=a"), ("Cookie", "x=1; t=b")], INVALID, [("Cookie", "x=1")]),
        ({"cookie": "t"}, [("Cookie", 't="a"')], MALFORMED, []),
        ({"basic": True}, [("Authorization", basic("any:abc"))], b"abc", []),
        ({"basic": True}, [("Authorization", basic(":abc:d"))], MALFORMED, []),
        ({"basic": True}, [("Authorization", basic("any:"))], MISSING, []),
        ({"basic": True}, [("Authorization", basic("abc"))], INVALID, []),
        ({"basic": True}, [("Authorization", "bAsIc !")], INVALID, []),
        ({"basic": True}, [("Authorization", "Bearer abc")], MISSING, [("Authorization", "Bearer abc")]),
        ({"basic": True}, [("Authorization", basic("a:b"))] * 2, INVALID, []),
        ({"bearer": True, "basic": True}, [("Authorization", "Bearer abc")], b"abc", [("Authorization", "Bearer abc")]),
        (
            {"bearer": True, "basic": True},
            [("Authorization", "DPoP abc")],
            DPoPToken(b"abc"),
            [("Authorization", "DPoP abc")],
        ),
        ({"bearer": True, "basic": True}, [("Authorization", basic("a:b"))], b"b", []),
        (
            {"bearer": True, "cookie": "t"},
            [("Authorization", "Token x"), ("Cookie", "t=b")],
            b"b",
            [("Authorization", "Token x")],
        ),
        (
            {"bearer": True, "cookie": "t"},
            [("Authorization", "Bearer a"), ("Cookie", "t=b")],
            INVALID,
            [("Authorization", "Bearer a")],
        ),
        ({"cookie": "t"}, [("Authorization", "Bearer a"), ("Cookie", "t=b")], b"b", [("Authorization", "Bearer a")]),
        (
            {"cookie": "t"},
            [("Authorization", "a"), ("Authorization", "b"), ("Cookie", "t=c")],
            b"c",
            [("Authorization", "a"), ("Authorization", "b")],
        ),
        (
            {"subprotocol": "token."},
            [("Sec-WebSocket-Protocol", "chat, token.abc,v2")],
            b"abc",
            [("Sec-WebSocket-Protocol", "chat,v2")],
        ),
        ({"subprotocol": "token."}, [("Sec-WebSocket-Protocol", "token.abc")], b"abc", []),
        (
            {"subprotocol": "token."},
            [("Sec-WebSocket-Protocol", "chat,  v2")],
            MISSING,
            [("Sec-WebSocket-Protocol", "chat,  v2")],
        ),
        ({"subprotocol": "token."}, [("Sec-WebSocket-Protocol", "token.a, token.b")], INVALID, []),
        (
            {"subprotocol": K8S},
            [("Sec-WebSocket-Protocol", f"{K8S}{encoded('a/b==')}, v4.channel.k8s.io")],
            b"a/b==",
            [("Sec-WebSocket-Protocol", "v4.channel.k8s.io")],
        ),
        ({"subprotocol": K8S}, [("Sec-WebSocket-Protocol", f"{K8S}!")], INVALID, []),
        ({"subprotocol": K8S}, [("Sec-WebSocket-Protocol", f"{K8S}YWI=")], INVALID, []),
    ],
)
def test_a_token_is_taken_out_and_everything_else_stays(
    places: dict[str, Any], fields: Fields, token: object, remaining: Fields
) -> None:
    """Whether it is valid or not; of several, all."""
    taken = take([HOST, *fields, ("X-Last", "1")], **places)
    assert taken.token == token
    assert fields_of(taken) == [HOST, *remaining, ("X-Last", "1")]
    assert taken.target == b"/a"


@pytest.mark.parametrize(
    ("target", "token", "remaining"),
    [
        ("/a?token=abc", b"abc", "/a"),
        ("/a?x=1&token=abc&y=%2F&z", b"abc", "/a?x=1&y=%2F&z"),
        ("/a?%74oken=a%2Fb", b"a/b", "/a"),
        ("/a?token=a&token=b", INVALID, "/a"),
        ("/a?token=a&x&%74oken=", b"a", "/a?x"),
        ("/a?token", MISSING, "/a"),
        ("/a?Token=a&tokens=b&x=token=c", MISSING, "/a?Token=a&tokens=b&x=token=c"),
        ("/a?token=a;b", MALFORMED, "/a"),
        ("/a?", MISSING, "/a?"),
        ("/a", MISSING, "/a"),
    ],
)
def test_a_parameter_is_taken_out_of_the_query(target: str, token: object, remaining: str) -> None:
    """Only that one, however its name is encoded; the others stay as sent."""
    taken = take([HOST], target, query="token")
    assert (taken.token, taken.target) == (token, remaining.encode())
    assert fields_of(taken) == [HOST]


def test_one_token_from_one_place() -> None:
    """Two places that are read make a request unreadable; another one does not count."""
    fields = [("Cookie", "t=a"), ("X-Token", "b")]
    assert take(fields, cookie="t", header="X-Token").token is INVALID
    assert take(fields, cookie="t").token == b"a"
    assert take(fields, "/a?token=c", cookie="t").token == b"a"


def test_authorization_of_the_app_is_forwarded_although_tokens_there_are_not() -> None:
    """`forwarding.authorization: remove` is about our token; if the rule does not read it there, it is the app's."""
    fields = [("Authorization", "Token of-the-app"), ("Cookie", "t=a")]
    taken = take(fields, forwards_authorization=False, cookie="t")
    assert fields_of(taken) == [("Authorization", "Token of-the-app")]
    assert fields_of(take(fields, forwards_authorization=False, cookie="t", bearer=True)) == []
    twice = [("Authorization", "Token x"), ("Authorization", "Token y"), ("Cookie", "t=a")]
    assert fields_of(take(twice, forwards_authorization=False, cookie="t")) == []


def test_all_values_in_a_place_are_secrets() -> None:
    """As sent, and decoded."""
    fields = [("Authorization", basic("user:pass")), ("Cookie", "t=of-cookie"), ("X-Token", "of header")]
    fields.append(("Sec-WebSocket-Protocol", K8S + encoded("of-protocol")))
    places: dict[str, Any] = {"basic": True, "cookie": "t", "header": "X-Token", "subprotocol": K8S, "query": "token"}
    secrets = take(fields, "/?token=of%2Dquery", **places).secrets or ()
    expected = {b"pass", b"of-cookie", b"of header", encoded("of-protocol").encode(), b"of-protocol"}
    assert {*secrets} == {*expected, b"of%2Dquery", b"of-query"}


def test_the_name_of_a_subprotocol_may_be_offered_beside_the_token() -> None:
    """A response may then name it, since it must not name the token, and a browser needs some name."""
    offered = [("Sec-WebSocket-Protocol", "access-token, access-token.abc")]
    taken = take(offered, subprotocol="access-token.")
    assert (taken.token, taken.subprotocol, fields_of(taken)) == (b"abc", b"access-token", [])
    assert take([("Sec-WebSocket-Protocol", "access-token.abc")], subprotocol="access-token.").subprotocol == b""


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ([("Cookie", "t=secret-1; " * 5 + "a=1")], "/a"),
        ([("Cookie", f"t=secret-{number}; a=1") for number in range(5)], "/a"),
        ([("Cookie", "t=;" * 9 + "a=1")], "/a"),
        ([("X-Token", "secret-1")] * 5, "/a"),
        ([("X_Token", "secret-1")] * 5, "/a"),
        ([("Sec-WebSocket-Protocol", "p.secret-1," * 5 + "chat")], "/a"),
        ([], "/a?" + "token=secret-1&" * 5 + "x=1"),
    ],
)
def test_so_many_values_that_nobody_reads_them_are_no_token(fields: Fields, target: str) -> None:
    """They are removed all the same, and any text may reveal one of them. Reading all would be work for nothing."""
    taken = take(fields, target, cookie="t", header="X-Token", subprotocol="p.", query="token")
    assert (taken.token, taken.secrets) == (INVALID, None)
    assert "secret" not in repr((fields_of(taken), taken.target))


@given(
    st.lists(st.tuples(st.sampled_from(["Cookie", "X-Token", "Authorization", "A"]), st.text("at=; ,.", max_size=12))),
    st.text("token=&%74;?", max_size=12),
)
def test_no_second_look_finds_a_token(fields: Fields, query: str) -> None:
    """The remaining request has no token in these places."""
    places: dict[str, Any] = {"cookie": "t", "header": "X-Token", "query": "token", "basic": True}
    taken = take(fields, f"/a?{query}", **places)
    again = take(fields_of(taken), taken.target.decode(), **places)
    assert again.token is MISSING or any(name == "Authorization" for name, _ in fields)
    assert (again.lines, again.target) == (taken.lines, taken.target)


SEVERAL: Fields = [("Authorization", "Bearer a"), ("X-Token", "b"), ("Cookie", "t=c; u=d"), HOST]


def taken_by_all(*places: dict[str, Any] | None, forwards_authorization: bool = True) -> TakenToken:
    """Return what is left of a request with a token in each place, by the combined places of several rules."""
    restores = not forwards_authorization
    parts = [None if part is None else Places(TokenPlaces(**part), restores_authorization=restores) for part in places]
    combined = combine(parts)
    assert combined is not None
    lines = lines_of([field for field in SEVERAL if forwards_authorization or field[0] != "Authorization"])
    return combined.take(b"Bearer a", 1, lines, b"/a?q=e")


def test_the_tokens_of_several_rules_are_taken_out() -> None:
    """It does not matter which rule the app applies. None of the tokens is read."""
    taken = taken_by_all({"header": "X-Token"}, {"cookie": "t"}, {"query": "q"}, {"header": "X-Token"})
    assert fields_of(taken) == [SEVERAL[0], ("Cookie", "u=d"), HOST]
    assert (taken.token, taken.target, taken.secrets) == (MISSING, b"/a", (b"b", b"c", b"e", b"e"))


@pytest.mark.parametrize(
    ("places", "restored"),
    [
        ([{"header": "X-Token"}, {"cookie": "t"}], True),
        ([{"header": "X-Token"}, None], False),
        ([{"header": "X-Token"}, {"bearer": True, "cookie": "t"}], False),
    ],
)
def test_authorization_is_the_app_s_own_only_if_no_rule_reads_it(
    places: list[dict[str, Any] | None], restored: bool
) -> None:
    """Otherwise it may have a token, which `forwarding.authorization: remove` keeps from the app."""
    taken = taken_by_all(*places, forwards_authorization=False)
    assert (("Authorization", "Bearer a") in fields_of(taken)) is restored


def test_rules_that_read_only_the_default_place_have_no_others() -> None:
    """Nothing is to be taken out."""
    assert combine([None, None]) is None
