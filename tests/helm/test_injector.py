"""The chart's injector: which pods the webhook and the admission policies select."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from harness.kubernetes.charts import ENFORCER, Object, Values, merged, objects, only, values

from enforcer.kubernetes import names
from enforcer.kubernetes.settings import ANNOTATIONS
from enforcer.kubernetes.webhook.locks import ALLOWED

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
    labelled, namespaces, _ = (policy["spec"]["matchConstraints"] for policy in policies)
    assert selected(labelled) == (by_label["objectSelector"], None)
    assert selected(namespaces) == selected(by_namespace)
    bound = [thing["spec"]["policyName"] for thing in things if thing["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert bound == [policy["metadata"]["name"] for policy in policies]


def test_only_in_labelled_namespaces_a_skipped_pod_is_admitted() -> None:
    """The annotation is the webhook's: a pod with the label must have the sidecar, whatever its annotations."""
    things = objects(values("injector"))
    policies = [thing for thing in things if thing["kind"] == "ValidatingAdmissionPolicy"]
    labelled, namespaces, _ = (policy["spec"]["validations"][0]["expression"] for policy in policies)
    assert names.SKIPPED not in labelled
    assert (
        namespaces
        == f"{labelled} || (has(object.metadata.annotations) && '{names.SKIPPED}' in object.metadata.annotations)"
    )
    assert re.findall(r"'(\w+)'", labelled) == [names.CONTAINER, names.CONTAINER, "Always"]


def test_a_sidecar_cannot_be_changed_in_a_running_pod() -> None:
    """Not its image, and not the label that NetworkPolicies select by."""
    policy = only(objects(values("injector")), "ValidatingAdmissionPolicy", "enforcer-injector-sidecars")["spec"]
    assert policy["matchConstraints"]["objectSelector"]["matchExpressions"] == [
        {"key": names.INJECTED, "operator": "Exists"}
    ]
    assert policy["matchConstraints"]["resourceRules"][0]["operations"] == ["UPDATE"]
    image, label = (validation["expression"] for validation in policy["validations"])
    assert image.count("o.image == c.image") == 2
    assert f"object.metadata.labels['{names.INJECTED}'] == 'true'" in label


def test_the_chart_allows_what_the_webhook_allows_by_default() -> None:
    """The same annotations; its schema has the names of all of them."""
    default = yaml.safe_load((ENFORCER / "values.yaml").read_text("utf-8"))["injector"]["allowedAnnotations"]
    assert default == [name for name in ANNOTATIONS if name in ALLOWED]
    schema = json.loads((ENFORCER / "values.schema.json").read_text("utf-8"))
    allowed = schema["properties"]["injector"]["properties"]["allowedAnnotations"]
    assert allowed["items"]["enum"] == list(ANNOTATIONS)
