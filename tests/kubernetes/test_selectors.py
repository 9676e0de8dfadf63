"""Label selectors, as objects and as text."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.kubernetes.selectors import may_select, parse_selector, selects

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchLabels": {"x": None}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "web"]}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "In", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}, False),
        ({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
    ],
)
def test_a_selector_selects_as_in_kubernetes(selector: dict[str, Any], selected: bool) -> None:
    """All of its requirements must hold; an empty selector selects everything."""
    assert selects(selector, LABELS) is selected


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app=web,tier!=front", False),
        ("x!=y", True),
        ("app in (a, web)", True),
        ("app in (a),tier", False),
        ("tier notin (back,middle), app", True),
        ("!app", False),
        ("!x", True),
        ("app.kubernetes.io/name=web", False),
        ("app=", False),
    ],
)
def test_a_selector_is_parsed_from_text(text: str, selected: bool) -> None:
    """The syntax of kubectl. A comma within parentheses does not end a requirement."""
    assert selects(parse_selector(text), LABELS) is selected


@pytest.mark.parametrize("text", ["", "=", "app=a b", "app in a", "app in ()(", "app,,b", "a=b;c", "app in (a"])
def test_an_invalid_selector_is_an_error(text: str) -> None:
    """The error shows an example."""
    with pytest.raises(ValueError, match="expected a selector such as app=web"):
        parse_selector(text)


@pytest.mark.parametrize("operator", ["In", "NotIn", "Exists", "DoesNotExist"])
def test_an_uncertain_label_may_be_selected_and_is_not_surely(operator: str) -> None:
    """Its value is not known, nor whether it is there; a label that is known stays as it is."""
    selector = {"matchExpressions": [{"key": "x", "operator": operator, "values": ["a"]}]}
    assert may_select(selector, LABELS, {"x"})
    assert not selects(selector, LABELS, {"x"})
    assert may_select({"matchLabels": {"x": "a", "app": "web"}}, LABELS, {"x"})
    assert not may_select({"matchLabels": {"x": "a", "app": "other"}}, LABELS, {"x", "app"})
