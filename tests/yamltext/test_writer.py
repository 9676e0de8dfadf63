"""Values written as YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from enforcer.yamltext.documents import value_of
from enforcer.yamltext.writer import block, document, flow, scalar

HARD = ["true", "8080", "a: b", "- x", "#c", "'", '"', "a\nb\n", "a\nb", "\n", " x\n", "x\n\n", "a\tb\n", "@", "<<"]
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(HARD))
KEYS = TEXTS.filter(lambda key: key != "<<")
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3), st.sampled_from([0, 2]))
def test_a_written_value_is_read_back_unchanged(value: dict[str, Any], offset: int) -> None:
    """In block style, with lists indented or not, and on one line; also by other YAML 1.1 parsers."""
    text = "".join(f"{line}\n" for line in block(value, offset))
    assert value_of(text) == value
    assert value_of(flow(value)) == value
    assert yaml.safe_load(document(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("http", "http"),
        ("token-enforcer:1.0", "token-enforcer:1.0"),
        ("--set=a=:1", "--set=a=:1"),
        ("true", '"true"'),
        ("8080", '"8080"'),
        ("", '""'),
        ("a b", '"a b"'),
        ('{"a": 1}', "'{\"a\": 1}'"),
        ('it\'s "x"', "'it''s \"x\"'"),
        (8080, "8080"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_quotes_are_written_only_if_needed(value: object, text: str) -> None:
    """JSON gets single quotes."""
    assert scalar(value) == text


def test_lines_stay_lines() -> None:
    """So that a policy in a ConfigMap is readable."""
    assert document({"data": {"config.yaml": "# rules\nrules:\n\n  - a\n"}, "none": [], "list": [{"a": [1]}]}) == (
        "data:\n  config.yaml: |\n    # rules\n    rules:\n\n      - a\nnone: []\nlist:\n  - a:\n      - 1\n"
    )
