"""References of an OpenAPI document."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.analysis.openapi.nodes import Cause, OpenAPIError
from enforcer.analysis.openapi.reader import read

SCHEMES = {"securitySchemes": {"oauth": {"$ref": "schemes/oauth.yml"}}}
FILES = {
    "schemes/oauth.yml": {"type": "oauth2"},
    "users/get.yml": {"operationId": "users", "security": [{"oauth": ["r"]}]},
    "users/item.yml": {"get": {"$ref": "./get.yml"}, "put": {"$ref": "../all.yml#/operations/put~1users"}},
    "all.yml": {"operations": {"put/users": {"security": [{"oauth": ["w"]}]}}, "loop": {"$ref": "all.yml#/loop/x"}},
}


def load(file: str) -> Any:
    try:
        return FILES[file]
    except KeyError:
        raise OpenAPIError(Cause.REFERENCE, "no such file") from None


def document(item: Any) -> dict[str, Any]:
    return {"openapi": "3.0.3", "paths": {"/users": item}, "components": SCHEMES}


def test_references_to_files_are_followed_from_the_file_that_they_are_in() -> None:
    """To path items, operations and security schemes."""
    contents = read(document({"$ref": "users/item.yml"}), load)
    assert [(each.method, each.needs.scopes) for each in contents.operations] == [("GET", ("r",)), ("PUT", ("w",))]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("https://example.org/a.yml", "does not lead to a file beside the document"),
        ("//example.org/a.yml", "does not lead to a file beside the document"),
        ("/etc/passwd", "does not lead to a file beside the document"),
        ("users/../../a.yml", "leads out of the document's folder"),
        ("..", "leads out of the document's folder"),
        ("%2e%2e/a.yml", "leads out of the document's folder"),
        ("other.yml", "no such file"),
        ("all.yml#operations", "is not a JSON pointer"),
        ("all.yml#/operations/x", "leads nowhere"),
        ("all.yml#/loop", "too long a chain of references"),
        (7, "a reference is a number"),
    ],
)
def test_a_reference_that_cannot_be_followed_leaves_the_operation_out(reference: Any, message: str) -> None:
    """An unread operation is not one without requirements."""
    contents = read(document({"get": {"$ref": reference}}), load)
    assert contents.operations == ()
    assert message in contents.left_out[0].detail
    assert contents.left_out[0].cause is Cause.REFERENCE


def test_a_reference_beside_other_keys_leaves_the_operation_out() -> None:
    """Parsers differ in which of both they use."""
    contents = read(document({"get": {"$ref": "users/get.yml", "security": []}}), load)
    assert "beside the reference users/get.yml there is security" in contents.left_out[0].detail
    contents = read(document({"get": {"$ref": "users/get.yml", "description": "Users", "x-note": 1}}), load)
    assert len(contents.operations) == 1


def test_a_cycle_of_references_ends() -> None:
    """Also if a reference leads through itself."""
    values = document({"$ref": "#/paths/~1users/get"})
    assert read(values, load).left_out[0].cause is Cause.REFERENCE
