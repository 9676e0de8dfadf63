"""Reading a YAML stream as documents."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.yamltext.documents import MAX_DEPTH, ManifestError, read, resolve, value_of

DEEP = "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)


def test_a_stream_is_split_only_at_its_separators() -> None:
    """Each document keeps its separator and its comments; a literal block may contain such a line."""
    parts = ["# first\na: 1\n", "---\nb: |\n  x\n  ---\n  y\n", "--- # third\nc: 3\n...\n", "---\n# nothing\n", "---"]
    documents = [*read("m.yaml", "".join(parts))]
    assert [document.text for document in documents] == parts
    assert [document.value for document in documents] == [{"a": 1}, {"b": "x\n---\ny\n"}, {"c": 3}, None, None]
    assert [document.line for document in documents] == [1, 3, 8, 11, 13]


def test_an_empty_file_is_a_document_without_a_value() -> None:
    """`helm template` may write one."""
    assert [(document.text, document.value) for document in read("m.yaml", "")] == [("", None)]


def test_values_have_the_types_of_json() -> None:
    """Quoted values are text; an alias has the value of its anchor."""
    (document,) = read("m.yaml", "a: '1'\nb: 0644\nc: 2026-01-01\nd: &x {e: [yes, no]}\nf: *x\n1: true\n")
    both = {"e": [True, False]}
    assert document.value == {"a": "1", "b": 420, "c": "2026-01-01", "d": both, "f": both, "1": True}


def test_an_alias_has_a_copy_of_the_value() -> None:
    """A change in one place does not affect the other; the expansion of nested aliases is limited."""
    (document,) = read("m.yaml", "a: &a {b: 1}\nc: *a\n")
    document.value["a"]["b"] = 2
    assert document.value["c"] == {"b": 1}
    lines = ["a0: &a0 [1, 1]", *(f"a{depth}: &a{depth} [*a{depth - 1}, *a{depth - 1}]" for depth in range(1, 60))]
    with pytest.raises(ManifestError, match="aliases expand to more than 10000"):
        [*read("m.yaml", "\n".join(lines))]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\n---\nb: [\n", "m.yaml:4:1: not YAML: "),
        ("a: 1\n---\nb: 1\nb: 2\n", 'm.yaml:4:1: not YAML: the key "b" is duplicated'),
        ("a: {<<: {b: 1}}\n", "m.yaml:1:5: not YAML: merge keys (<<) are not supported; write the keys out"),
        ("? [a]\n: b\n", "m.yaml:1:3: not YAML: a key must be a string"),
        (DEEP, f"m.yaml:1:{MAX_DEPTH + 2}: not YAML: mappings and lists are nested more than 200 levels deep"),
        ("a: \x00\n", "m.yaml:1: not YAML: "),
        ("a: *b\n", "m.yaml:1:4: not YAML: "),
        ("&a [*a]\n", "m.yaml:1:1: not YAML: "),
        ("a: {{ .b }}\n", "m.yaml:1:5: not YAML: a key must be a string; it looks like a template: render it"),
    ],
)
def test_an_unreadable_document_is_reported_with_its_line(text: str, why: str) -> None:
    """The line counts from the start of the file, not of the document."""
    with pytest.raises(ManifestError) as refused:
        [*read("m.yaml", text)]
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http", "http"),
        ("true", True),
        ("Yes", True),
        ("OFF", False),
        ("y", True),
        ("N", False),
        ("tRue", "tRue"),
        ("", None),
        ("~", None),
        ("Null", None),
        ("8080", 8080),
        ("-1", -1),
        ("0", 0),
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("08", 8.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("22:22", "22:22"),
        ("2026-01-01", "2026-01-01"),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
        ("<<", "<<"),
    ],
)
def test_a_scalar_has_the_same_value_as_for_kubectl(text: str, value: object) -> None:
    """YAML 1.1, without dates and base-60 numbers."""
    resolved = resolve(text)
    assert (resolved, type(resolved)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!str 1", "1"),
        ('!!int "1"', 1),
        ("!!bool 'yes'", True),
        ("!own 1", "1"),
        ("&x !!str yes", "yes"),
        ("1 # !", 1),
    ],
)
def test_a_tag_decides_on_the_type(text: str, value: Any) -> None:
    """As for kubectl; without one, the form of the text does."""
    assert value_of(f"a: {text}") == {"a": value}
    assert type(value_of(f"a: {text}")["a"]) is type(value)
