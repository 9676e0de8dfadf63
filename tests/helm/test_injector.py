"""The chart's injector: which pods the webhook and the admission policies select."""

from __future__ import annotations

import re

import pytest
from harness.kubernetes.charts import Object, Values, merged, objects, only, values

from enforcer.kubernetes import names

OTHERS = {"injector": {"namespaceSelector": {"matchLabels": {"tier": "apps"}}}}


def selected(thing: Object) -> tuple[Object, Object | None]:
    """Return the selectors of pods and namespaces."""
    return thing["objectSelector"], thing.get("namespaceSelector")


@pytest.mark.parametrize("more", [{}, OTHERS], ids=["all namespaces", "some namespaces"])
def test_the_admission_policies_select_what_the_webhooks_select(more: Values) -> None:
    """Pods of labelled namespaces by the same selectors, and pods with a label of their own in every namespace."""
    things = objects(merged(values("injector"), more))
    by_label, by_namespace = only(things, "MutatingWebhookConfiguration")["webhooks"]
    policies = [thing for thing in things if thing["kind"] == "ValidatingAdmissionPolicy"]
    labelled, namespaces = (policy["spec"]["matchConstraints"] for policy in policies)
    assert selected(labelled) == (by_label["objectSelector"], None)
    assert selected(namespaces) == selected(by_namespace)
    bound = [thing["spec"]["policyName"] for thing in things if thing["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert bound == [policy["metadata"]["name"] for policy in policies]


def test_only_in_labelled_namespaces_a_skipped_pod_is_admitted() -> None:
    """The annotation is the webhook's: a pod with the label must have the sidecar, whatever its annotations."""
    things = objects(values("injector"))
    policies = [thing for thing in things if thing["kind"] == "ValidatingAdmissionPolicy"]
    labelled, namespaces = (policy["spec"]["validations"][0]["expression"] for policy in policies)
    assert names.SKIPPED not in labelled
    assert (
        namespaces
        == f"{labelled} || (has(object.metadata.annotations) && '{names.SKIPPED}' in object.metadata.annotations)"
    )
    assert re.findall(r"'(\w+)'", labelled) == [names.CONTAINER, names.CONTAINER, "Always"]
