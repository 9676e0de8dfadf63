"""The objects of a verification, by namespace."""

from __future__ import annotations

from typing import Any

from harness.kubernetes.manifests import deployment, service

from enforcer.kubernetes.verify.object_set import Assumptions, ObjectSet


def network_policy(name: str) -> Any:
    return {"kind": "NetworkPolicy", "metadata": {"name": name}, "spec": {"podSelector": {}}}


def in_namespace(thing: Any, namespace: str) -> Any:
    return {**thing, "metadata": {**thing["metadata"], "namespace": namespace}}


def test_objects_without_a_namespace_may_be_in_any() -> None:
    """Unless the namespace of such objects is known."""
    things = [in_namespace(deployment(), "a"), service(name="x"), in_namespace(service(name="y"), "b")]
    for namespace, names in ((None, ["x"]), ("a", ["x"]), ("b", [])):
        objects = ObjectSet(things, Assumptions(namespace=namespace))
        ((_, workload),) = objects.workloads
        near = objects.near(objects.services, workload)
        assert [thing["metadata"]["name"] for thing in near] == names
        policy = network_policy("p")
        assert objects.surely_limits(policy, workload) is (namespace == "a")


def test_of_two_objects_with_one_identity_the_last_one_counts() -> None:
    """A kind of another API is another identity."""
    knative = {**service(), "apiVersion": "serving.knative.dev/v1"}
    objects = ObjectSet([service(), service(target=1), knative], Assumptions())
    ((only,),) = objects.services.values()
    assert only["spec"]["ports"][0]["targetPort"] == 1
