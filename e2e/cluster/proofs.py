"""Claims about an API server with the injector, and about the manifests of this project."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import yaml
from harness.kubernetes import charts
from harness.waiting import eventually

from e2e import ROOT
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.injector import NAME, NAMESPACE, Webhook
from e2e.cluster.renders import EXCEPTIONS, injected, known, pods, renders
from e2e.proof import Proof
from e2e.tools import run

Object = dict[str, Any]

APPS: Final = "apps"
"""A namespace that enforces Pod Security *restricted*."""
WHOLE: Final = "whole"
"""A namespace that enforces it, too, and whose pods are all injected."""
OPEN: Final = "open"
"""A namespace that enforces nothing."""
_RESTRICTED: Final = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
_LABELS: Final = {APPS: _RESTRICTED, WHOLE: {**_RESTRICTED, "enforcer.dev/inject": "enabled"}, OPEN: {}}
_DENIED: Final = "admission webhook .* denied the request"


def namespaces(cluster: ControlPlane) -> None:
    """Create the namespaces with their ServiceAccounts: no controller creates these here, and pods need them."""
    for name, labels in _LABELS.items():
        cluster(
            "apply",
            "-f",
            "-",
            given={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )
        cluster("create", "serviceaccount", "default", "-n", name)


def every_object(proof: Proof, cluster: ControlPlane) -> None:
    """Submit every object of every render, and a pod of every workload, as a dry run."""
    left_out: set[str] = set()
    for name, things in (*renders(APPS), *injected(APPS)):
        objects = known(things)
        left_out |= {thing["kind"] for thing in things} - {thing["kind"] for thing in objects}
        wrong = _refused(cluster, objects, "apply", "--validate=strict")
        # A dry run creates no ServiceAccount, and a pod without one is not admitted.
        accounts = [thing for thing in objects if thing["kind"] == "ServiceAccount"]
        named = {pod["spec"].get("serviceAccountName", "default") for pod in pods(objects)}
        accounts += [_account(name) for name in named - {thing["metadata"]["name"] for thing in accounts}]
        cluster("apply", "-n", APPS, "-f", "-", given=accounts)
        wrong += _refused(cluster, pods(objects), "create", "--validate=strict")
        proof.claim(f"{name}: {len(objects)} objects are taken, their pods as restricted ones", [], wrong)
    proof.note(f"left out, since a bare API server does not know them: {', '.join(sorted(left_out & EXCEPTIONS))}")


def _account(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def _refused(cluster: ControlPlane, things: list[Object], *verb: str) -> list[str]:
    if not things:
        return []
    said = cluster.attempt(*verb, "--dry-run=server", "-n", APPS, "-f", "-", given=things)
    # Pod Security only warns about workloads; it denies pods.
    lines = said.stderr.splitlines()
    return [line for line in lines if said.returncode or "would violate" in line or "unknown field" in line]


def trust(proof: Proof, cluster: ControlPlane) -> None:
    """Check the objects that the webhook has written."""
    secret = cluster.get("secret", "-n", NAMESPACE, f"{NAME}-tls")
    proof.claim("its Secret holds an authority", {"ca.crt", "ca.key"}, set(secret.get("data", {})))
    found = cluster.get("mutatingwebhookconfiguration", NAME)["webhooks"]
    bundles = {webhook["clientConfig"].get("caBundle") for webhook in found}
    proof.claim("which the API server trusts for both webhooks", {secret["data"]["ca.crt"]}, bundles)
    for verb, what, where, may in (
        ("get", f"secret/{NAME}-tls", NAMESPACE, "yes"),
        ("get", "secret/other", NAMESPACE, "no"),
        ("create", "secrets", NAMESPACE, "no"),
        ("list", "secrets", APPS, "no"),
        ("get", "pods", APPS, "no"),
        ("patch", "mutatingwebhookconfiguration/other", APPS, "no"),
    ):
        account = f"--as=system:serviceaccount:{NAMESPACE}:{NAME}"
        answer = cluster.attempt("auth", "can-i", verb, what, account, "-n", where, given=[]).stdout.strip()
        proof.claim(f"may it {verb} {what} in {where}? {may}", may, answer)


def app() -> Object:
    """Return the pod of the demo's app, as its Deployment describes it."""
    (found,) = [
        pod
        for pod in pods(charts.objects(charts.values("demo"), namespace=APPS))
        if "country-app" in pod["metadata"]["generateName"]
    ]
    return found


def asking(pod: Object, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    """Return a pod that asks for the sidecar."""
    meta = pod["metadata"]
    labels = {**meta.get("labels", {}), "enforcer.dev/inject": "enabled"}
    return {
        **pod,
        "metadata": {**meta, "labels": labels, "annotations": annotations or {}},
        "spec": {**pod["spec"], **spec},
    }


def create(cluster: ControlPlane, pod: Object, namespace: str = APPS, *options: str) -> tuple[Object | None, str]:
    """Create a pod; return the stored pod, or None, and kubectl's message."""
    said = cluster.attempt("create", "-n", namespace, "-f", "-", "-o", "json", *options, given=pod)
    return (json.loads(said.stdout) if said.returncode == 0 else None), said.stderr


def names(pod: Object | None, key: str) -> Sequence[str]:
    """Return the names of a pod's containers."""
    return [one["name"] for one in pod["spec"].get(key, [])] if pod is not None else ["(refused)"]


def injection(proof: Proof, cluster: ControlPlane, webhook: Webhook) -> None:
    """Create pods, for real and as dry runs."""
    pod, said = create(cluster, asking(app()))
    proof.claim(
        "a pod that asks is injected, in a namespace that enforces restricted",
        ["enforcer"],
        names(pod, "initContainers"),
    )
    proof.holds(
        "and warns of what the webhook does not see", "one that uses the number 8080 bypasses the enforcer" in said
    )
    if pod is not None:
        again, said = create(cluster, _bare(pod))
        kept = again["spec"]["initContainers"] if again is not None else said
        proof.claim("what was injected is injected again, to the same", pod["spec"]["initContainers"], kept)
    pod, _ = create(cluster, asking(app()), APPS, "--dry-run=server")
    proof.claim("so it is by a dry run", ["enforcer"], names(pod, "initContainers"))
    pod, _ = create(cluster, app())
    proof.claim("one that does not ask stays as it is", [], names(pod, "initContainers"))
    pod, _ = create(cluster, app(), WHOLE)
    proof.claim("unless its namespace asks for all", ["enforcer"], names(pod, "initContainers"))
    quiet = {**app(), "spec": {**app()["spec"], "containers": [_portless(app())]}}
    pod, _ = create(cluster, quiet, WHOLE)
    proof.claim("of those, one without a port stays as it is", [], names(pod, "initContainers"))
    for what, pod_, told in (
        ("an unknown annotation", asking(app(), {"enforcer.dev/mod": "port"}), "enforcer.dev/mod is unknown"),
        ("the node's network", asking(app(), hostNetwork=True), "hostNetwork"),
        ("no port", asking(quiet), "no TCP port"),
    ):
        pod, said = create(cluster, pod_, OPEN)
        refused = pod is None and re.search(_DENIED, said) and told in said
        proof.holds(f"{what}: refused by the webhook, which says why", refused or said)
        if not refused:
            proof.claim("it says", told, said)
    transparent = asking(app(), {"enforcer.dev/mode": "transparent"})
    pod, said = create(cluster, transparent)
    proof.holds("mode transparent: refused where Pod Security is restricted", pod is None and "NET_ADMIN" in said)
    pod, _ = create(cluster, transparent, OPEN)
    proof.claim("and injected where it is not", ["enforcer-redirect", "enforcer"], names(pod, "initContainers"))


def _bare(pod: Object) -> Object:
    """Return a pod that was read, without the fields that the API server sets."""
    meta = {key: pod["metadata"][key] for key in ("generateName", "labels", "annotations") if key in pod["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod["spec"]}


def _portless(pod: Object) -> Object:
    (container,) = pod["spec"]["containers"]
    return {key: value for key, value in container.items() if key not in ("ports", "readinessProbe", "livenessProbe")}


def events(proof: Proof, cluster: ControlPlane) -> None:
    """Create a pod for a ReplicaSet, as its controller would."""
    deployment = charts.only(charts.objects(charts.values("demo"), namespace=APPS), "Deployment", "country-app")
    spec = {key: deployment["spec"][key] for key in ("selector", "template")}
    cluster(
        "create",
        "-n",
        APPS,
        "-f",
        "-",
        given={"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "owner"}, "spec": spec},
    )
    uid = cluster.get("replicaset", "-n", APPS, "owner")["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owner", "uid": uid, "controller": True}
    pod = asking(app())
    pod = {**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}
    create(cluster, pod, APPS, "--dry-run=server")
    create(cluster, pod)

    def recorded() -> list[str]:
        found = cluster.get("events", "-n", APPS, "--field-selector", f"involvedObject.uid={uid}")["items"]
        return [event["reason"] for event in found]

    eventually(recorded)
    proof.claim("the pod's owner has exactly one Event: a dry run has none", ["EnforcerInjected"], recorded())


def locks(proof: Proof, cluster: ControlPlane, webhook: Webhook) -> None:
    """Stop the webhook, then delete its configuration: each lock holds without the other."""
    proof.claim("the webhook ends well", 0, webhook.stop())
    pod, said = create(cluster, asking(app()))
    proof.holds("while nobody answers, a pod that asks is refused", pod is None and "failed calling webhook" in said)
    pod, _ = create(cluster, app())
    proof.holds("and one that does not ask is created", pod)
    cluster("delete", "mutatingwebhookconfiguration", NAME)
    refusal = "has no container enforcer"
    proof.holds(
        "without the webhook, the policy refuses it",
        eventually(lambda: refusal in create(cluster, asking(app()))[1], 20.0),
    )
    misspelt = asking(app())
    misspelt["metadata"]["labels"]["enforcer.dev/inject"] = "enable"
    proof.holds("so it does with a word that nobody knows", refusal in create(cluster, misspelt)[1])
    proof.holds("what is injected already is created", create(cluster, _injected())[0])


def _injected() -> Object:
    """Return the app's pod as `enforcer inject` writes it."""
    pod = asking(app())
    pod["metadata"]["name"] = "by-hand"
    command = (sys.executable, "-m", "enforcer", "inject", "--kube-version", "1.34", "-f", "-")
    text = run(*command, given=yaml.safe_dump(pod), folder=ROOT)
    return next(thing for thing in yaml.safe_load_all(text) if thing["kind"] == "Pod")
