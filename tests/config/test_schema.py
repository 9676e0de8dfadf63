"""The schema and the reference of a configuration."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from enforcer.config.load import Loaded
from enforcer.config.model import RULE_FILE_ADAPTER
from enforcer.config.policy_test_file import ADAPTER as TESTS_ADAPTER
from enforcer.config.reference import reference
from enforcer.config.schema import schema, shape, write_duration, write_size
from enforcer.policy.templates import Path as PathTemplate
from enforcer.units import parse_duration, parse_size


def sections(path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every mapping with keys of its own."""
    keys = shape().keys(path)
    if keys:
        yield path
    for key in keys:
        yield from sections((*path, key))
        yield from sections((*path, key, 0))


def test_the_reference_is_up_to_date() -> None:
    """`python -m enforcer.config.reference > docs/configuration.md` writes it again."""
    docs = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert docs.read_text(encoding="utf-8") == reference()


def test_every_key_is_described_in_the_schema_and_in_the_reference() -> None:
    """A setting is not complete without its meaning, unit and reason."""
    written = reference()
    keys = [(path, key, node) for path in sections() for key, node in shape().keys(path).items()]
    assert len(keys) > 80
    for path, key, node in keys:
        assert shape().description(node), (path, key)
        assert shape().meaning((*path, key))
        assert f".{key}`" in written or f".{key}." in written or f"## `{key}`" in written


def test_every_default_of_the_schema_is_valid_in_a_file(loads: Callable[..., Loaded]) -> None:
    """Setting all keys of all sections to their defaults changes nothing."""
    document: dict[str, Any] = {}
    for path in sections():
        defaults = {key: node["default"] for key, node in shape().keys(path).items() if node.get("default") is not None}
        if defaults and len(path) == 1 and path[0] != "upstream":  # the base has one already
            document[str(path[0])] = defaults
    assert {"listener", "cache", "limits", "timeouts", "forwarding"} <= set(document)
    assert loads(yaml.safe_dump(document)).config.limits == loads().config.limits
    assert loads(yaml.safe_dump(document)).config.forwarding == loads().config.forwarding


def test_the_schema_is_json_and_closed() -> None:
    """Editors read it, and mark unknown keys."""
    written = json.loads(json.dumps(schema()))
    assert written["$schema"].startswith("https://json-schema.org/")
    assert written["additionalProperties"] is False
    assert written["required"] == ["authorization_servers"]


def patterns(definition: str, key: str) -> dict[str, Any]:
    """Return the schema of a text, or of the items of a list of texts."""
    node: dict[str, Any] = schema()["$defs"][definition]["properties"][key]
    return dict(node.get("items", next((each for each in node.get("anyOf", ()) if "pattern" in each), node)))


@given(
    st.text("/a*{}%2 .", max_size=8).map("/{}".format) | st.sampled_from(["/", "/**", "/a/{b}/**", "/é/%2A", "/a b"])
)
def test_the_pattern_of_paths_admits_every_valid_path(path: str) -> None:
    """Editors and Helm must not refuse what the enforcer accepts."""
    try:
        PathTemplate.parse(path)
    except ValueError:
        return
    assert re.search(patterns("Rule", "path")["pattern"], path)


@pytest.mark.parametrize(
    ("definition", "key", "valid", "invalid"),
    [
        ("Rule", "path", ["/", "/a/**"], ["reports", "/a//b", "/a*", "/**/b", ""]),
        ("Rule", "name", ["read"], ["_read", ""]),
        ("RuleDefaults", "methods", ["GET", "M-SEARCH"], ["get", "GET ", "CONNECT", "FLUSH", "G3T"]),
        ("Rule", "host", ["*.example.org", "[::1]", "10.0.0.1"], ["app:8080", "a.*", "https://app"]),
        ("Rule", "scopes", ["a:b", "$set"], ["a b", 'a"', "a\\b"]),
        ("Upstream", "url", ["http://app:8080", "https://app", "unix:/run/app.sock"], ["app:8080", "http://app/", ""]),
        (
            "AuthorizationServer",
            "introspection_endpoint",
            ["https://a.example.org/i?a=b@c"],
            ["a.example.org", "https://a/#b"],
        ),
        ("Listener", "address", [":8091", "[::1,10.0.0.1]:8091"], ["8091", "http://a:1"]),
    ],
)
def test_texts_have_a_pattern(definition: str, key: str, valid: list[str], invalid: list[str]) -> None:
    """An editor marks a wrong text, and `helm install` refuses it."""
    validator = Draft202012Validator(patterns(definition, key))
    assert [text for text in valid if not validator.is_valid(text)] == []
    assert [text for text in invalid if validator.is_valid(text)] == []


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"rules": [{"name": "a", "path": "/a", "claims": {"tenant": None}}]}, True),
        ({"rules": [], "rule_defaults": {"headers": {"X-Tenant": None}, "host": "a.org"}}, True),
        ({"rules": [], "rule_defaults": {"path": "/a"}}, False),
        ({"rules": [{"name": "a", "path": "/a", "scope": "x"}]}, False),
        ({"rule_defaults": {}}, False),
        ({"rules": [], "upstream": {"url": "http://app:8080"}}, False),
    ],
)
def test_a_rule_file_has_a_schema(document: dict[str, Any], valid: bool) -> None:
    """Of rules and their defaults only; null takes a member of the defaults away."""
    validator = Draft202012Validator(schema(RULE_FILE_ADAPTER))
    assert validator.is_valid(document) is valid


def test_null_takes_a_default_away_in_a_rule_only() -> None:
    """There are no defaults over which those of the configuration could count."""
    definitions = schema()["$defs"]
    for name, valid in (("Rule", True), ("RuleDefaults", False), ("Conditions", False)):
        node = definitions[name]["properties"]["claims"]
        assert Draft202012Validator({**node, "$defs": definitions}).is_valid({"tenant": None}) is valid


def test_policy_tests_have_a_schema() -> None:
    """The policy tests of the product are valid."""
    validator = Draft202012Validator(schema(TESTS_ADAPTER))
    validator.check_schema(schema(TESTS_ADAPTER))
    tests = yaml.safe_load((Path(__file__).parents[2] / "policy-tests.yaml").read_text())
    validator.validate(tests)
    tests["tests"][0]["expect"] = "allowed"
    assert not validator.is_valid(tests)


@pytest.mark.parametrize(
    ("keys", "valid"), [([], False), (["path"], True), (["paths"], True), (["path", "paths"], False)]
)
def test_a_rule_has_a_path_or_several(keys: list[str], valid: bool) -> None:
    """Exactly one of the two keys."""
    document = schema()
    rule = {"name": "a", "public": True, **{key: {"path": "/a", "paths": ["/a", "/b"]}[key] for key in keys}}
    validator = Draft202012Validator({"$ref": "#/$defs/Rule", "$defs": document["$defs"]})
    assert validator.is_valid(rule) is valid


@pytest.mark.parametrize("text", ["0s", "1ms", "250ms", "5s", "75s", "2m", "1h"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    """In the largest unit that gives a whole number."""
    assert write_duration(parse_duration(text)) == text


@pytest.mark.parametrize("text", ["1B", "1000B", "64KiB", "1536KiB", "1MiB", "1GiB"])
def test_a_size_is_written_as_it_is_read(text: str) -> None:
    """In the largest unit that gives a whole number."""
    assert write_size(parse_size(text)) == text
