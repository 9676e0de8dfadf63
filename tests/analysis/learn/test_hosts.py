"""Hosts of a log, and the apps behind them."""

from __future__ import annotations

import pytest

from enforcer.analysis.learn.hosts import apps, host_name, patterns


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("App.example.org:8443", "app.example.org"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("*.example.org", ""),
        ("{x}.example.org", ""),
        ("a b", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_host_is_named_as_in_a_rule(value: str | None, name: str) -> None:
    """Without port and in lower case; what no rule can name has no name."""
    assert host_name(value) == name


def test_hosts_with_the_same_paths_are_one_app() -> None:
    """At least half of the paths of the host with fewer paths."""
    orders = [("/orders", "GET"), ("/orders/{id}", "GET"), ("/orders", "POST")]
    templates = {
        "api.example.org": orders,
        "10.0.0.1": orders[1:2],
        "admin.example.org": [("/users", "GET"), ("/users/{id}", "GET"), ("/orders", "GET")],
    }
    assert apps(templates) == [["10.0.0.1", "api.example.org"], ["admin.example.org"]]


def test_many_hosts_of_a_domain_become_one_with_an_asterisk() -> None:
    """Addresses do not."""
    hosts = ["a.x.org", "b.x.org", "c.x.org", "a.y.org", "b.y.org", "10.0.0.1", "10.1.0.1", "10.2.0.1", "localhost"]
    assert patterns(hosts) == ["*.x.org", "10.0.0.1", "10.1.0.1", "10.2.0.1", "a.y.org", "b.y.org", "localhost"]
