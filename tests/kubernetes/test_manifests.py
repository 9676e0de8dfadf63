"""What becomes of objects, and what is said of it."""

from __future__ import annotations

from harness.kubernetes.manifests import deployment, service

from enforcer.kubernetes import names
from enforcer.kubernetes.manifests import Session, uninject_all
from enforcer.kubernetes.report import Line, Result


def test_each_object_is_told_of_once() -> None:
    """In its place; what nothing is said of is unchanged, and what has no kind is none."""
    session = Session([deployment(), {}, service()])
    session.say(2, Result.CHANGED, "x")
    session.say(2, Result.CHANGED, "x")
    session.say(0, Result.ADDED, thing="networkpolicy/n")
    assert session.outcome().report == (
        Line("networkpolicy/n", Result.ADDED),
        Line("deployment/app", Result.UNCHANGED),
        Line("service/app", Result.CHANGED, "x"),
    )


def test_what_was_made_here_goes_and_what_was_not_stays() -> None:
    """A NetworkPolicy of the same name that others made, too."""
    ours = {"kind": "NetworkPolicy", "metadata": {"name": "n", "annotations": {names.INJECTED_BY: "x"}}}
    other = {"kind": "NetworkPolicy", "metadata": {"name": "n"}}
    outcome = uninject_all([ours, other, deployment(), service()])
    assert outcome.objects == (None, other, deployment(), service())
    assert outcome.has(Result.REMOVED)
