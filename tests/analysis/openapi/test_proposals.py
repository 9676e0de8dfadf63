"""Rules proposed from OpenAPI documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from analysis.openapi.samples import document, rules

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.openapi.comparison import compare
from enforcer.analysis.openapi.nodes import OpenAPIError
from enforcer.analysis.openapi.proposals import propose
from enforcer.analysis.openapi.reader import read
from enforcer.analysis.rule_yaml import write

OKTA = Path(__file__).parent.parent / "documents" / "okta-management.yaml"


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
        "/pets/{id}/{a}{b}": {"get": {}},
        "/else": {"servers": [{"url": "/v2/"}], "get": {"security": None}},
    },
    security=[{"oauth": ["pets.write"]}, {"basic": []}],
    servers=[{"url": "https://{host}:{port}/{base}", "variables": {n: {"default": n} for n in ("host", "base")}}],
)

SHOP["servers"][0]["variables"]["port"] = {"default": 8443}


WRITE = {"security": [{"oauth": ["w"]}]}

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

  # the document also accepts basic
  - name: Remove a pet
    path: /base/pets/{pet_id}
    methods: [DELETE]
    scopes: [pets.write]

  # the document accepts key
  - name: PUT /pets/{pet-id}
    path: /base/pets/{pet_id}
    methods: [PUT]
    authenticated: true

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
    """One for each requirement, named after its operations."""
    proposed = propose(read(SHOP))
    assert write(proposed.rules) == PROPOSED
    assert [(each.left_out.cause, each.entry) for each in proposed.left_out] == [("path", None)]


def test_paths_with_the_same_requirement_and_methods_are_one_rule() -> None:
    """It is named after its operations, or if there are more than three after their tags."""
    paths = {
        f"/{name}": {"get": {"operationId": name, "tags": [tag], "security": [{"oauth": [scope]}]}}
        for name, tag, scope in [
            *(("cats", "pets", "r"), ("dogs", "pets", "r"), ("lease", "shop", "r"), ("fish/{x}", "pets", "r")),
            *(("a", "t", "w"), ("b/{c}", "", "w")),
        ]
    }
    assert (
        write(propose(read(document(paths))).rules)
        == """\
rules:
  - name: "GET of pets, shop"
    paths: [/cats, /dogs, /lease, "/fish/{x}"]
    methods: [GET]
    scopes: [r]

  - name: "a, b/{c}"
    paths: [/a, "/b/{c}"]
    methods: [GET]
    scopes: [w]
"""
    )


def test_operations_with_one_path_and_method_are_one_rule_that_requires_what_each_does() -> None:
    """OpenAPI allows only one, and a query or fragment distinguishes requests only for the app."""
    get = {"security": [{"oauth": ["a"]}]}
    merged = {
        "/x/{a}": {"get": get},
        "/x/{b}?q={b}": {"get": {"security": [{"oauth": ["b"]}]}},
        "/x/{c}#y": {"get": get},
    }
    (rule,) = rules(document(merged))
    assert (rule.path, rule.scopes) == ("/x/{a}", ("a", "b"))
    choices = [[{"oauth": ["a"]}, {"oauth": ["b"]}], [{"oauth": ["c"]}, {"oauth": ["d"]}]]
    values = document({f"/x#{number}": {"get": {"security": each}} for number, each in enumerate(choices)})
    assert [each.cause for each in read(values).left_out] == ["needs", "needs"]


@pytest.mark.parametrize(
    ("weaker", "left_out"),
    [
        ({"/users/{id}": {"get": {"security": []}}}, {"/users/me": {"get": {"security": "oauth"}}}),
        ({"/t/{t}": {"post": {}}}, {"/t/{t}{u}": {"post": {"security": [{"oauth": ["publish"]}]}}}),
        ({"/a/{t}": {"put": {}}}, {"/a/b": None}),
        ({"/a/{t}": {"head": {}}}, {"/a/b": {"GET": {}}}),
        ({"/v1/{a}/{b}": {"get": {}}}, {"/v1/a/{x}": {"get": {**WRITE, "servers": [{"url": "/{x}"}]}}}),
        ({"/{y}/b": {"get": {}}}, {"/a/{x}": {"get": {"security": "oauth"}}}),
    ],
)
def test_a_rule_that_would_allow_requests_of_an_omitted_operation_is_omitted_too(
    weaker: dict[str, Any], left_out: dict[str, Any]
) -> None:
    """Otherwise the more specific operation would be open with the conditions of the wider one."""
    assert len(rules(document(weaker))) == 1
    proposed = propose(read(document({**weaker, **left_out})))
    assert proposed.rules == ()
    assert [each.left_out.cause for each in proposed.left_out][-1] == "weaker"


def test_an_omitted_operation_whose_requests_match_a_rule_is_reported_with_the_rule() -> None:
    """“Refused” would be false."""
    security = [{"oauth": ["a"]}]
    paths = {
        "/t/{t}": {"get": {"operationId": "one", "security": security}},
        "/t/{t}{u}": {"get": {"security": security}},
    }
    (outcome,) = propose(read(document(paths))).left_out
    assert str(outcome).endswith('; requests of it match rule "one"')


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
    rules = [proposal.rule for proposal in propose(contents).rules]
    written = yaml.safe_load(write(propose(contents).rules))["rules"]
    assert [rule["name"] for rule in written] == [rule.name for rule in rules]


def okta() -> Any:
    return yaml.load(OKTA.read_bytes(), yaml.CBaseLoader)


def test_a_real_document_becomes_a_policy() -> None:
    """Every operation has its rule, and every rule an operation."""
    contents = read(okta())
    assert (len(contents.operations), contents.left_out) == (104, ())
    ready = Policy((proposal.rule, "") for proposal in propose(contents).rules)
    assert not ready.matcher.conflicts
    assert not compare(contents, ready)
    assert len(ready.rules) == 28
    scopes = {rule.name: (rule.methods, rule.scopes) for _, rule in ready.rules}
    assert scopes["replaceApplication, deleteApplication"] == (("PUT", "DELETE"), ("okta.apps.manage",))
