"""Rules for path templates with records."""

from __future__ import annotations

from collections import Counter

from enforcer.analysis.learn.proposals import number, proposed_rules
from enforcer.analysis.learn.uses import MethodUse, TemplateUse


def uses(*places: tuple[str, str], scope: str = "a") -> TemplateUse:
    """Return the record of a request at each place."""
    whole = TemplateUse()
    for place in places:
        whole.record(place, MethodUse(1, frozenset([scope]), Counter([frozenset([scope])])))
    return whole


def test_paths_with_the_same_requirement_share_a_rule() -> None:
    """Methods of one path with other scopes have a rule of their own."""
    rules = proposed_rules(
        [
            ("/a", uses(("", "GET"))),
            ("/b", uses(("", "GET"), ("", "PUT"))),
            ("/c", uses(("", "GET"))),
            ("/d", uses(("", "GET"), scope="{d}")),
        ]
    )
    assert [(each.proposal.rule.name, each.proposal.rule.templates, each.allowed) for each in rules] == [
        ("GET a", ("/a", "/c"), 2),
        ("GET PUT /b", ("/b",), 2),
        ("GET /d", ("/d",), 1),
    ]


def test_a_scope_with_braces_is_no_placeholder() -> None:
    """It is written as it must be."""
    (each,) = proposed_rules([("/d", uses(("", "GET"), scope="{d}"))])
    assert each.proposal.rule.scopes == ("{{d}}",)


def test_rules_have_a_host_if_there_are_several_apps() -> None:
    """Each app has a rule for each of its hosts; its requests are counted once."""
    one_app = [("/a", uses(("x.org", "GET"), ("y.org", "GET")))]
    assert [each.proposal.rule.host for each in proposed_rules(one_app)] == [None]
    two_apps = [*one_app, ("/b", uses(("z.org", "GET")))]
    assert [(each.proposal.rule.host, each.proposal.rule.path, each.allowed) for each in proposed_rules(two_apps)] == [
        ("x.org", "/a", 2),
        ("y.org", "/a", 0),
        ("z.org", "/b", 1),
    ]


def test_counts_are_written_with_their_noun() -> None:
    """In the singular for 1."""
    assert [number(1, "request"), number(1234, "request")] == ["1 request", "1,234 requests"]
