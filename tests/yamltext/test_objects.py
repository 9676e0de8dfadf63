"""Parts of Kubernetes objects are read without trusting their shape."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.yamltext.objects import identity, items, section


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        ({"metadata": {"name": "app"}}, ("app", None)),
        ({"metadata": {"name": "app", "namespace": "web"}}, ("app", "web")),
        ({"metadata": {"generateName": "app-5d8f-"}}, ("app-5d8f", None)),
        ({"metadata": None}, ("", None)),
    ],
)
def test_an_object_is_identified_by_its_metadata(thing: dict[str, Any], name: tuple[str, str | None]) -> None:
    """A pod that is being admitted may have no name yet, only the prefix of one."""
    assert identity(thing) == name


def test_a_part_of_another_type_is_empty() -> None:
    """Manifests are written by hand; a wrong type must not raise."""
    value = {"a": {"b": {"c": 1}, "list": [{"d": 2}, None, 3]}}
    assert section(value, "a", "b") == {"c": 1}
    assert section(value, "a", "list") == section(value, "x", "b") == {}
    assert items(section(value, "a"), "list") == [{"d": 2}]
    assert items(value, "a") == items(value, "x") == []
