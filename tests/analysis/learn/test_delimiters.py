"""Encoded delimiters in segments."""

from __future__ import annotations

import pytest

from enforcer.analysis.learn.delimiters import has_delimiter, kept_delimiters
from enforcer.wire.readings import DELIMITERS
from enforcer.wire.target import read_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", []),
        ("/a%2Fb", ["slash"]),
        ("/a%5Cb/c%3Fd", ["backslash", "question_mark"]),
        ("/a%3Bb", ["semicolon"]),
        ("/a;b", []),
        ("/a\\b%2Fc", []),
        ("/a%23/x%25y", ["hash", "percent"]),
        ("/a%2F..%2Fb", []),
        ("/a/%2E%2E%2Fadmin", []),
        ("/a%2F", []),
        ("/a//b%2Fc", []),
        ("/a%2Fb/../c", []),
        ("/a%0Ab%2Fc", []),
    ],
)
def test_the_delimiters_that_a_rule_must_keep_are_found(path: str, expected: list[str]) -> None:
    """None if the path would be ambiguous nevertheless."""
    segments, _ = read_path(path.encode()) if "%0A" not in path else ([b"a\nb/c"], True)
    assert [*kept_delimiters(path, segments)] == expected
    assert {*expected} <= {*DELIMITERS}


def test_a_segment_without_delimiters_has_none() -> None:
    """Other reserved characters do not delimit."""
    assert not has_delimiter(b"a:b@c!$&'()*+,=")
