"""Reading the operations of OpenAPI documents."""

from __future__ import annotations

import re
from typing import Any

import pytest
from analysis.openapi.samples import document, one, rules

from enforcer.analysis.openapi.nodes import DuplicateKey, OpenAPIError
from enforcer.analysis.openapi.reader import read


@pytest.mark.parametrize(
    ("servers", "paths"),
    [
        ([], ["/a"]),
        ([{"url": "/"}], ["/a"]),
        ([{"url": "https://x.org"}, {"url": "https://y.org/"}], ["/a"]),
        ([{"url": "https://x.org/v1"}, {"url": "https://y.org/v1/"}], ["/v1/a"]),
        ([{"url": "https://x.org/v1"}, {"url": "/v2"}], ["/v1/a", "/v2/a"]),
        ([{"url": "api/v1"}], ["/api/v1/a"]),
    ],
)
def test_a_path_begins_with_the_base_path_of_each_server(servers: list[dict[str, str]], paths: list[str]) -> None:
    """Servers with the same base path give one rule."""
    assert [path for rule in rules(one([], servers=servers)) for path in rule.templates] == paths


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (document({"/a/{x}{y}": {"get": {}}}), "{name}"),
        (document({"/a//b": {"get": {}}}), "no request can have this path"),
        (document({"/a*": {"get": {}}}), "* is not a pattern here"),
        (document({"/a/**": {"get": {}}}), "** is the rest of the path in a rule"),
        (document({"/a": {"get": {}}}, Security=[]), "the document has no security, but an unknown key: Security"),
        (one([{"oauth": ["$x"]}]), "in a rule, $x is the name of a scope set"),
        (document({"a": {"get": {}}}), "a path begins with /"),
        (one([{"oauth": ["a b"]}]), "'a b' is not a valid scope"),
        (one([{"oauth": ["a", "b"]}, {"oauth": ["c"]}]), "no rule can require (a b) or (c)"),
        (one([], servers=[{"url": "/{x}"}]), "the server's variable x has no default"),
        (one([], servers=[{"url": "./api"}]), "no rule can have this path"),
        (one([], servers=[{"url": "http://[x/"}]), "Invalid IPv6 URL"),
        (document({"/a": {"$ref": "paths.yaml#/a"}}), "a reference leads to another file, paths.yaml"),
        (document({"/a": {"$ref": "#/nowhere"}}), "the reference #/nowhere leads nowhere"),
        (document({"/a": {"get": {"securty": []}}}), "unknown key securty in the operation"),
        (document({"/a": {"GET": {}}}), "unknown key GET in the path item"),
        (document({"/a": {"get": None}}), "expected a mapping, found nothing"),
        (document({"/a": ["get"]}), "expected a mapping, found a list"),
        (document({"/a": {"<<": {"get": {}}}}), "a YAML merge key"),
        (document({"/a": {"get": {}, "security": []}}), "the path item has security"),
        (one("oauth"), "security is a text, not a list"),
        (one({"oauth": ["a"]}), "security is a mapping, not a list"),
        (one(DuplicateKey()), "security is a duplicate key, not a list"),
        (one(["oauth"]), "a member of security is a text, not a mapping"),
        (one([None]), "a member of security is nothing, not a mapping"),
        (one([{"oauth": None}]), "oauth in security has nothing, not a list of scopes"),
        (one([{"oauth": "a"}]), "oauth in security has a text, not a list of scopes"),
        (one([{"oauth": [7]}]), "a scope of oauth is a number"),
        (one([{"unheard-of": []}]), "security names unheard-of, which the document does not define"),
        (one([{"odd": []}]), "odd has an unknown type"),
        (one([{"bare": []}]), "bare is of type http, and has no scheme"),
        (one([], servers={"url": "/"}), "servers is a mapping, not a list"),
        (document({"/a": {"$ref": "#/paths/~1a"}}), "too long a chain of references"),
    ],
)
def test_an_operation_that_no_rule_can_express_is_omitted_and_reported(values: dict[str, Any], message: str) -> None:
    """Without a rule it is denied, so that a guess allows nothing."""
    proposal = read(values)
    assert proposal.operations == ()
    assert message in proposal.left_out[0].detail


def test_references_within_the_document_are_followed() -> None:
    """A path item may be defined among the components."""
    items = {"a/b": {"get": {"operationId": "found", "security": []}}}
    values = document({"/a": {"$ref": "#/components/pathItems/a~1b"}})
    values["components"]["pathItems"] = items
    assert [rule.name for rule in rules(values)] == ["found"]


@pytest.mark.parametrize(
    ("parameters", "path"),
    [("/{pet-id}/{pet.id}/{pet_id}", "/{pet_id}/{pet_id_}/{pet_id__}"), ("/{1}", "/{_1}"), ("/{é}", "/{_}")],
)
def test_a_parameter_has_a_name_that_a_rule_can_have(parameters: str, path: str) -> None:
    """The name is unique within its path."""
    assert [rule.path for rule in rules(document({parameters: {"get": {"security": []}}}))] == [path]


def test_a_document_of_openapi_2_is_read() -> None:
    """Its base path, and its security definitions."""
    values = {
        "swagger": "2.0",
        "host": "api.example.org",
        "basePath": "/v1/",
        "securityDefinitions": {"o": {"type": "oauth2"}, "k": {"type": "apiKey"}, "b": {"type": "basic"}},
        "security": [{"o": ["r"]}, {"b": []}],
        "paths": {"/a": {"get": {}, "put": {"security": [{"o": ["w"], "k": []}]}, "head": {"security": []}}},
    }
    assert [(rule.path, rule.methods, rule.scopes, rule.public) for rule in rules(values)] == [
        ("/v1/a", ("GET",), ("r",), False),
        ("/v1/a", ("PUT",), ("w",), False),
        ("/v1/a", ("HEAD",), (), True),
    ]
    assert {operation.host for operation in read(values).operations} == {"api.example.org"}


def test_the_methods_of_openapi_3_2_are_read() -> None:
    """Paths that no request can have are left out."""
    item: dict[str, Any] = {"query": {}, "additionalOperations": {"LINK": {}, "SPELL": {}, "CONNECT": {}}}
    contents = read(document({"/a": item}, openapi="3.2.0"))
    assert [operation.method for operation in contents.operations] == ["QUERY", "LINK"]
    assert [each.cause for each in contents.left_out] == ["method"] * 2
    assert [each.cause for each in read(document({"/a": item})).left_out] == ["shape", "shape"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"openapi": "3.3.0", "paths": {}}, "found version 3.3.0"),
        ({"openapi": "31", "paths": {}}, "found version 31"),
        ({"swagger": "1.2", "paths": {}}, "found version 1.2"),
        ({"openapi": "3.0.0", "swagger": "2.0", "paths": {}}, "found both openapi and swagger"),
        ({}, "found nothing"),
    ],
)
def test_another_kind_of_document_is_an_error(values: dict[str, Any], message: str) -> None:
    """Its keys could have another meaning."""
    with pytest.raises(OpenAPIError, match=re.escape(f"not OpenAPI 2.0, 3.0, 3.1 or 3.2: {message}")):
        read(values)
