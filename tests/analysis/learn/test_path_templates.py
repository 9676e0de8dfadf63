"""Path templates: segments that vary become parameters."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.analysis.learn.path_templates import ALIKE, MAX_TEMPLATES, VARIES, PathTemplates
from enforcer.policy.templates import Path


class Count:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0
        self.kinds: Mapping[str, int] = {}
        self.traits: Mapping[tuple[str, str], int] = {}

    def add(self, other: Count) -> None:
        self.count += other.count

    def is_own(self, depth: int) -> bool:
        return False

    def stands_out(self, whole: Count) -> bool:
        return False


def templates(paths: Iterable[str]) -> dict[str, int]:
    places = PathTemplates(Count)
    for path in paths:
        places.record_of(path[1:].encode().split(b"/")).count += 1
    return {path: use.count for path, use in places}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a/7", "/a/{id}"),
        ("/a/007/b/8", "/a/{id}/b/{id2}"),
        ("/7/8/9", "/{id}/{id2}/{id3}"),
        ("/a/7/", "/a/{id}/"),
        ("/a/123e4567-e89b-12d3-a456-426614174000", "/a/{id}"),
        ("/a/DEADBEEF0", "/a/{id}"),
        ("/a/2026-11-30/b", "/a/{id}/b"),
        ("/a/2026-11-30T10:00:00Z", "/a/{id}"),
        ("/a/2026-11.csv", "/a/{id}.csv"),
        ("/a/alice@mail.example.org", "/a/{id}"),
        ("/@scope/name", "/@scope/name"),
        ("/a/deadbeef", "/a/deadbeef"),
        ("/a/0f", "/a/0f"),
        ("/a/cus_NffrFeUfNV2Hib0000", "/a/{id}"),
        ("/a/a-very-long-name-of-a-page", "/a/a-very-long-name-of-a-page"),
        ("/v1/api.json", "/v1/api.json"),
        ("/a*{b}c", "/a%2A%7Bb%7Dc"),
        ("/a b/é", "/a%20b/%C3%A9"),
    ],
)
def test_a_segment_that_looks_like_an_identifier_is_a_parameter(path: str, template: str) -> None:
    """Numbers, dates, addresses, UUIDs, digests and long keys; other segments are written as literals of a rule."""
    assert templates([path]) == {template: 1}


def test_a_template_is_a_valid_path_of_a_rule() -> None:
    """Its literals match as literals."""
    ((template, _),) = templates(["/a*{b}c/éd/**"]).items()
    assert Path.parse(template).segments == (b"a*{b}c", "éd".encode(), b"**")


def test_many_values_at_one_position_become_a_parameter() -> None:
    """The paths below them are merged."""
    few = [f"/users/n{chr(97 + number % 26)}{chr(97 + number // 26)}/posts" for number in range(VARIES)]
    assert len(templates(few)) == VARIES
    assert templates([*few, "/users/more/posts", "/users/more/likes", "/users/"]) == {
        "/users/": 1,
        "/users/{id}/likes": 1,
        "/users/{id}/posts": VARIES + 1,
    }


@given(st.lists(st.lists(st.sampled_from([*"abcdefgh", "1", "2", ""]), min_size=1, max_size=4), max_size=60), st.data())
def test_the_order_of_paths_does_not_matter(paths: list[list[str]], data: st.DataObject) -> None:
    """Merged segments stay merged."""
    wide = [[f"{segment}{number % 9}x" if segment else "" for segment in path] for path in paths for number in range(9)]
    written = [f"/{'/'.join(path)}" for path in wide]
    shuffled = data.draw(st.permutations(written))
    assert templates(shuffled) == templates(written)
    assert sum(templates(written).values()) == len(written)


def test_memory_is_bounded_for_any_paths() -> None:
    """No more templates than the maximum, and no request is lost."""
    chance = random.Random(1)
    paths = ["/" + "/".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(5)) for _ in range(60_000)]
    results = templates(paths)
    assert len(results) < MAX_TEMPLATES
    assert sum(results.values()) == 60_000


class Record:
    """Requests with a trait, by kind."""

    def __init__(self, *requests: tuple[str, str], own: bool = False) -> None:
        self.requests = list(requests)
        self.own = own

    @property
    def count(self) -> int:
        return len(self.requests)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.requests)

    @property
    def traits(self) -> Counter[tuple[str, str]]:
        return Counter((kind, trait) for kind, traits in self.requests for trait in traits)

    def add(self, other: Record) -> None:
        self.own = other.own and (self.own or not self.requests)
        self.requests += other.requests

    def is_own(self, depth: int) -> bool:
        return self.own

    def stands_out(self, whole: Record) -> bool:
        return any("!" in traits for _, traits in self.requests)


def generalized(requests: Mapping[str, Record]) -> list[str]:
    places = PathTemplates(Record)
    for path, record in requests.items():
        places.record_of(path[1:].encode().split(b"/")).add(record)
    places.generalize()
    return [path for path, _ in places]


NAMES = ["start", "install", "upgrade", "backup", "limits", "errors", "hooks", "roles"]


def test_values_with_the_same_kinds_and_traits_become_a_parameter() -> None:
    """Eight of them; another kind, another trait, or something that stands out remains a literal."""
    same = {f"/docs/{name}": Record(("GET", "r")) for name in NAMES}
    assert len(generalized(dict(list(same.items())[1:]))) == ALIKE - 1
    assert generalized(same) == ["/docs/{id}"]
    others = {"/docs/x": Record(("PUT", "r")), "/docs/y": Record(*[("GET", "s")] * 2), "/docs/z": Record(("GET", "r!"))}
    assert generalized({**same, **others}) == ["/docs/x", "/docs/y", "/docs/z", "/docs/{id}"]
    assert generalized({**same, "/docs/x": Record(("GET", ""))}) == ["/docs/{id}"]


def test_two_groups_of_values_do_not_mix() -> None:
    """Each with its own trait: the weaker must not include the stronger."""
    first = {f"/docs/{name}": Record(*[("GET", "r")] * 3) for name in NAMES}
    second = {f"/docs/{name}s": Record(*[("GET", "w")] * 2) for name in NAMES[1:]}
    assert generalized({**first, **second}) == [*sorted(second), "/docs/{id}"]


def test_what_is_below_the_values_is_merged_too() -> None:
    """Also if each value has only some of it."""
    posts = {f"/users/{name}/posts": Record(("GET", "r")) for name in NAMES}
    likes = {f"/users/{name}/likes": Record(("GET", "r")) for name in [*NAMES, "more"]}
    assert generalized({**posts, **likes}) == ["/users/{id}/likes", "/users/{id}/posts"]


@pytest.mark.parametrize(
    ("pattern", "template"),
    [
        ("/files/{}.pdf", "/files/{id}.pdf"),
        ("/jobs/{}:cancel", "/jobs/{id}:cancel"),
        ("/files/report-{}.csv", "/files/report-{id}.csv"),
        ("/files/{}", "/files/{id}"),
    ],
)
def test_text_that_all_values_share_is_part_of_the_path(pattern: str, template: str) -> None:
    """Up to a separator."""
    assert generalized({pattern.format(name): Record(("GET", "r")) for name in NAMES}) == [template]


def test_identifiers_with_an_ending_keep_it() -> None:
    """One is enough."""
    assert templates(["/orders/7.json", "/orders/8:cancel", "/orders/9"]) == {
        "/orders/{id}": 1,
        "/orders/{id}.json": 1,
        "/orders/{id}:cancel": 1,
    }


def test_the_user_itself_is_no_value() -> None:
    """`/users/me` stays beside `/users/{id}`, however many there are."""
    users = {f"/users/{name}": Record(("GET", "r")) for name in NAMES}
    assert generalized({**users, "/users/me": Record(("GET", "r"))}) == ["/users/me", "/users/{id}"]
    assert "/users/me" in templates(
        [f"/users/n{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(99)] + ["/users/me"]
    )


def test_values_that_are_the_subject_become_a_parameter() -> None:
    """Two are enough."""
    own = {f"/users/{name}": Record(("GET", name), own=True) for name in NAMES[:2]}
    assert generalized({**own, "/users/all": Record(("GET", "r"))}) == ["/users/all", "/users/{id}"]


@pytest.mark.parametrize("version", ["2", "2024-01", "2022-11-28"])
def test_a_short_number_or_date_that_never_varies_is_a_version(version: str) -> None:
    """If there are enough requests to tell."""
    below = {f"/api/{version}/{name}": Record(*[("GET", name)] * 3) for name in NAMES}
    assert f"/api/{version}/start" in generalized(below)
    assert "/api/{id}/start" in generalized({**below, "/api/3/x": Record(("GET", "r"))})
    assert generalized({"/orders/7": Record(("GET", "r"))}) == ["/orders/{id}"]
