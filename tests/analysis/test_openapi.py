"""Rules proposed from OpenAPI documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.policies import policy

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.openapi import OpenAPIError, compare, proposals, read
from enforcer.analysis.rule_yaml import write
from enforcer.policy.rules import Rule

OKTA = Path(__file__).parent / "documents" / "okta-management.yaml"

SCHEMES = {
    "oauth": {"type": "oauth2"},
    "oidc": {"type": "openIdConnect"},
    "bearer": {"type": "http", "scheme": "Bearer"},
    "same": {"$ref": "#/components/securitySchemes/oauth"},
    "key": {"type": "apiKey"},
    "basic": {"type": "http", "scheme": "basic"},
}


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shop"},
        "paths": paths,
        "components": {"securitySchemes": SCHEMES},
        **more,
    }


def one(security: Any, **more: Any) -> dict[str, Any]:
    return document({"/a": {"get": {"operationId": "a", "security": security}}}, **more)


def rules(values: Any) -> list[Rule]:
    return [proposal.rule for proposal in proposals(read(values))]


SHOP = document(
    {
        "/pets": {
            "get": {"operationId": "listPets", "security": [{"oauth": ["pets.read"]}]},
            "post": {"operationId": "addPet"},
            "parameters": [],
        },
        "/pets/{pet-id}": {
            "get": {"operationId": "showPet", "security": [{"oauth": ["pets.read"]}]},
            "head": {"operationId": "peekPet", "security": [{"oauth": ["pets.read"]}]},
            "delete": {"summary": "Remove a pet"},
            "put": {"security": [{"key": []}]},
        },
        "/health": {"get": {"operationId": "listPets", "security": []}},
        "/pets/{id}.json": {"get": {}},
        "/pets/{other}": {"get": {}},
        "/else": {"servers": [{"url": "/v2/"}], "get": {"security": None}},
    },
    security=[{"oauth": ["pets.write"]}, {"basic": []}],
    servers=[{"url": "https://{host}:{port}/{base}", "variables": {n: {"default": n} for n in ("host", "base")}}],
)
SHOP["servers"][0]["variables"]["port"] = {"default": 8443}

PROPOSED = """\
rules:
  - name: listPets
    path: /base/pets
    methods: [GET]
    scopes: [pets.read]

  # the document also accepts basic
  - name: addPet
    path: /base/pets
    methods: [POST]
    scopes: [pets.write]

  - name: "showPet, peekPet"
    path: /base/pets/{pet_id}
    methods: [GET, HEAD]
    scopes: [pets.read]

  # the document accepts key
  - name: PUT /pets/{pet-id}
    path: /base/pets/{pet_id}
    methods: [PUT]
    authenticated: true

  # the document also accepts basic
  - name: Remove a pet
    path: /base/pets/{pet_id}
    methods: [DELETE]
    scopes: [pets.write]

  - name: "listPets (2)"
    path: /base/health
    methods: [GET]
    public: true

  # the document also accepts basic
  - name: GET /else
    path: /v2/else
    methods: [GET]
    scopes: [pets.write]
"""


def test_rules_are_proposed_for_paths_methods_and_scopes() -> None:
    """One for each path and requirement, named after its operations."""
    proposal = read(SHOP)
    assert write(proposals(proposal)) == PROPOSED
    assert proposal.left_out == (
        "GET /pets/{id}.json: in {id}.json a parameter is only part of the segment, which no rule can express",
        "GET /pets/{other}: the same path as /base/pets/{pet_id}",
    )


@pytest.mark.parametrize(
    ("security", "needs", "comment"),
    [
        ([], {"public": True}, ""),
        ([{}], {"public": True}, ""),
        ([{"oauth": ["a", "b"]}], {"scopes": ("a", "b")}, ""),
        ([{"same": ["a"]}], {"scopes": ("a",)}, ""),
        ([{"bearer": ["role"]}], {"scopes": ("role",)}, ""),
        ([{"bearer": []}], {"authenticated": True}, ""),
        ([{"oauth": ["a"], "oidc": ["b"]}], {"scopes": ("a", "b")}, ""),
        ([{"oauth": ["a"]}, {"oidc": ["b"]}], {"any_scope": ("a", "b")}, ""),
        ([{"oauth": ["a", "b"]}, {"oauth": ["a", "c"]}], {"scopes": ("a",), "any_scope": ("b", "c")}, ""),
        ([{"oauth": ["a"]}, {"oauth": ["a", "b"]}], {"scopes": ("a",)}, ""),
        ([{"oauth": ["a"]}, {"oauth": []}], {"authenticated": True}, ""),
        ([{"oauth": ["a"]}, {}], {"scopes": ("a",)}, "the document also accepts no token at all"),
        ([{"key": []}, {"oauth": ["a"]}], {"scopes": ("a",)}, "the document also accepts key"),
        ([{"key": [], "oauth": ["a"]}], {"authenticated": True}, "the document accepts key"),
        (
            [{"key": [], "basic": []}, {}],
            {"authenticated": True},
            "the document accepts no token at all, or key with basic",
        ),
        ([{"unheard-of": []}], {"authenticated": True}, "the document accepts unheard-of"),
        (None, {"authenticated": True}, "the document does not say what it requires"),
    ],
)
def test_a_rule_requires_what_security_requires_of_a_bearer_token(
    security: Any, needs: dict[str, Any], comment: str
) -> None:
    """A rule is public only if the document says so."""
    (proposal,) = proposals(read(one(security)))
    assert proposal.rule == Rule(name="a", path="/a", methods=("GET",), **needs)
    assert proposal.comments == ((comment,) if comment else ())


def test_the_security_of_an_operation_overrides_that_of_path_and_document() -> None:
    """The nearest one applies."""
    item = {"security": [{"oauth": ["path"]}], "get": {"security": [{"oauth": ["operation"]}]}, "put": {}}
    proposed = rules(document({"/a": item, "/b": {"get": {}}}, security=[{"oauth": ["document"]}]))
    assert [rule.scopes for rule in proposed] == [("operation",), ("path",), ("document",)]


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
    assert [rule.path for rule in rules(one([], servers=servers))] == paths


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (document({"/a/{x}-{y}": {"get": {}}}), "in {x}-{y} a parameter is only part of the segment"),
        (document({"/a#b": {"get": {}}}), "no request can have this path"),
        (document({"/a?b=c": {"get": {}}}), "no request can have this path"),
        (document({"/a//b": {"get": {}}}), "no request can have this path"),
        (document({"/a*": {"get": {}}}), "* is not a pattern here"),
        (document({"a": {"get": {}}}), "a path begins with /"),
        (one([{"oauth": ["a b"]}]), "'a b' is not a valid scope"),
        (one([{"oauth": ["a", "b"]}, {"oauth": ["c"]}]), "no rule can require (a b) or (c)"),
        (one([], servers=[{"url": "/{x}"}]), "the server's variable x has no default"),
        (one([], servers=[{"url": "./api"}]), "no request can have this path"),
        (one([], servers=[{"url": "http://[x/"}]), "Invalid IPv6 URL"),
        (document({"/a": {"$ref": "paths.yaml#/a"}}), "the reference paths.yaml#/a leads to another document"),
        (document({"/a": {"$ref": "#/paths/~1a"}}), "too long a chain of references"),
    ],
)
def test_an_operation_that_no_rule_can_express_is_omitted_and_reported(values: dict[str, Any], message: str) -> None:
    """Without a rule it is denied, so that a guess allows nothing."""
    proposal = read(values)
    assert proposal.operations == ()
    assert message in proposal.left_out[0]


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


@pytest.mark.parametrize("version", ["2.0", "3.2.0", "31", "nothing"])
def test_another_kind_of_document_is_an_error(version: str) -> None:
    """Its keys could have another meaning."""
    with pytest.raises(OpenAPIError, match=f"not OpenAPI 3.0 or 3.1: it has openapi: {version}"):
        read({} if version == "nothing" else {"openapi": version, "paths": {}})


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        "x",
        {"openapi": "3.0.0"},
        {"openapi": "3.0.0", "paths": []},
        {"openapi": "3.0.0", "paths": {"/a": None, "/b": [], "/c": {"get": None, "put": []}}},
        {"openapi": "3.0.0", "paths": {"/a": {"get": {"security": {"oauth": "a"}, "servers": "x"}}}, "components": []},
        {"openapi": "3.0.0", "paths": {"/a": {"get": {"security": [None, "x"], "servers": [None]}}}, "info": "x"},
    ],
)
def test_an_invalid_document_raises_only_openapi_error(values: Any) -> None:
    """The document is untrusted input."""
    try:
        contents = read(values)
    except OpenAPIError:
        return
    rules = [proposal.rule for proposal in proposals(contents)]
    written = yaml.safe_load(write(proposals(contents)))["rules"]
    assert [rule["name"] for rule in written] == [rule.name for rule in rules]


def okta() -> Any:
    return yaml.load(OKTA.read_bytes(), yaml.CBaseLoader)


def test_a_real_document_becomes_a_policy() -> None:
    """Every operation has its rule, and every rule an operation."""
    proposal = read(okta())
    assert (len(proposal.operations), proposal.left_out) == (104, ())
    ready = Policy((proposal.rule, "") for proposal in proposals(proposal))
    assert not ready.matcher.conflicts
    gaps = compare(proposal, ready)
    assert (gaps.operations, gaps.rules) == ((), ())
    scopes = {rule.name: (rule.methods, rule.scopes) for rule in (entry.rule for entry in ready.entries)}
    assert scopes["listUsers"] == (("GET",), ("okta.users.read",))
    assert scopes["replaceApplication, deleteApplication"] == (("PUT", "DELETE"), ("okta.apps.manage",))


def test_operations_without_a_rule_and_rules_without_an_operation_are_reported() -> None:
    """By evaluating a request for each operation."""
    proposal = read(
        document(
            {
                "/pets": {"get": {"operationId": "list"}, "post": {"operationId": "add"}},
                "/pets/{id}": {"get": {"operationId": "show"}},
                "/pets/{id}/photo": {"get": {"operationId": "photo"}},
                "/caf%C3%A9/a b": {"get": {"operationId": "menu"}},
            },
            servers=[{"url": "https://api.example.org"}],
        )
    )
    gaps = compare(
        proposal,
        policy(
            {"path": "/pets", "methods": ["GET"], "public": True},
            {"path": "/pets/sample0", "public": True},
            {"path": "/pets/{x}", "host": "*.internal", "public": True},
            {"path": "/café/a b", "public": True},
            {"path": "/owners/**", "public": True},
        ),
    )
    assert [operation.name for operation in gaps.operations] == ["add", "photo"]
    assert [entry.rule.name for entry in gaps.rules] == ["/pets/sample0", "/owners/**"]
