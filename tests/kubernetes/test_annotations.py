"""The status annotation of a pod template."""

import json

import pytest

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status, status_of


def test_a_status_is_read_as_it_was_written() -> None:
    """Empty fields are omitted."""
    renamed = {"http": "app-http"}
    status = Status(version="1", hash="abc", mode="port", container="app", port=8080, renamed=renamed, grace=(None,))
    text = status.write()
    assert json.loads(text) == {
        "version": "1",
        "hash": "abc",
        "mode": "port",
        "container": "app",
        "port": 8080,
        "renamed": {"http": "app-http"},
        "grace": [None],
    }
    assert status_of({"metadata": {"annotations": {names.STATUS: text}}}) == status


@pytest.mark.parametrize("text", [None, "", "{", "[]", "5", "{}", '{"version": "1", "unknown": 1}', 5])
def test_anything_else_is_not_a_status(text: object) -> None:
    """A template that was not injected, or one with an annotation that somebody else wrote."""
    assert status_of({"metadata": {"annotations": {names.STATUS: text}}}) is None
    assert status_of({}) is None
