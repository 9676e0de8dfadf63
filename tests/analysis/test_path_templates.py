"""Path templates: segments that vary become parameters."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.analysis.path_templates import MAX_TEMPLATES, VARIES, PathTemplates
from enforcer.policy.templates import Path


class Count:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, other: Count) -> None:
        self.count += other.count


def templates(paths: Iterable[str]) -> dict[str, int]:
    places = PathTemplates(Count)
    for path in paths:
        places.at(path[1:].encode().split(b"/")).count += 1
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
        ("/a/deadbeef", "/a/deadbeef"),
        ("/a/0f", "/a/0f"),
        ("/a/cus_NffrFeUfNV2Hib0000", "/a/{id}"),
        ("/a/a-very-long-name-of-a-page", "/a/a-very-long-name-of-a-page"),
        ("/v1/api.json", "/v1/api.json"),
        ("/a*{b}c%", "/a%2A%7Bb%7Dc%25"),
        ("/a b/é", "/a%20b/%C3%A9"),
    ],
)
def test_a_segment_that_looks_like_an_identifier_is_a_parameter(path: str, template: str) -> None:
    """Numbers, UUIDs, digests and long keys; other segments are written as literals of a rule."""
    assert templates([path]) == {template: 1}


def test_a_template_is_a_valid_path_of_a_rule() -> None:
    """Its literals match as literals."""
    ((template, _),) = templates(["/a*{b}c/é;d/**"]).items()
    assert Path.parse(template.replace("%3B", "")).segments == (b"a*{b}c", "éd".encode(), b"**")


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
