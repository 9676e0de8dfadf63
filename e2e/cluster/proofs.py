"""Claims about an API server with the injector, and about the manifests of this project."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import httpx
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
"""A namespace that enforces *restricted*, and whose pods are all injected."""
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
            documents={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )
        cluster("create", "serviceaccount", "default", "-n", name)


def every_object(proof: Proof, cluster: ControlPlane) -> None:
    """Submit every object of all manifests, and a pod of every workload, as a dry run."""
    skipped: set[str] = set()
    for name, documents in (*renders(APPS), *injected(APPS)):
        objects = known(documents)
        skipped |= {document["kind"] for document in documents} - {document["kind"] for document in objects}
        errors = _errors(cluster, objects, "apply", "--validate=strict")
        # A dry run creates no ServiceAccount, and a pod without one is not admitted.
        accounts = [document for document in objects if document["kind"] == "ServiceAccount"]
        used = {pod["spec"].get("serviceAccountName", "default") for pod in pods(objects)}
        accounts += [_account(name) for name in used - {document["metadata"]["name"] for document in accounts}]
        cluster("apply", "-n", APPS, "-f", "-", documents=accounts)
        errors += _errors(cluster, pods(objects), "create", "--validate=strict")
        proof.claim(f"{name}: {len(objects)} objects are accepted, and their pods are restricted", [], errors)
    proof.note(f"skipped, since a bare API server does not know them: {', '.join(sorted(skipped & EXCEPTIONS))}")


def _account(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def _errors(cluster: ControlPlane, objects: list[Object], *verb: str) -> list[str]:
    if not objects:
        return []
    process = cluster.attempt(*verb, "--dry-run=server", "-n", APPS, "-f", "-", documents=objects)
    # Pod Security only warns about workloads; it denies pods.
    lines = process.stderr.splitlines()
    return [line for line in lines if process.returncode or "would violate" in line or "unknown field" in line]


def trust(proof: Proof, cluster: ControlPlane) -> None:
    """Check the objects that the webhook wrote, and its permissions."""
    secret = cluster.get("secret", "-n", NAMESPACE, f"{NAME}-keys")
    keys = {"ca.crt", "ca.key", "path.key"}
    proof.claim("its Secret contains an authority and the key of its path", keys, set(secret.get("data", {})))
    webhooks = cluster.get("mutatingwebhookconfiguration", NAME)["webhooks"]
    bundles = {webhook["clientConfig"].get("caBundle") for webhook in webhooks}
    proof.claim("this authority is the caBundle of both webhooks", {secret["data"]["ca.crt"]}, bundles)
    for verb, resource, namespace, expected in (
        ("get", f"secret/{NAME}-keys", NAMESPACE, "yes"),
        ("get", "secret/other", NAMESPACE, "no"),
        ("create", "secrets", NAMESPACE, "no"),
        ("list", "secrets", APPS, "no"),
        ("get", "pods", APPS, "no"),
        ("patch", "mutatingwebhookconfiguration/other", APPS, "no"),
    ):
        account = f"--as=system:serviceaccount:{NAMESPACE}:{NAME}"
        options = (account, "-n", namespace)
        reply = cluster.attempt("auth", "can-i", verb, resource, *options, documents=[]).stdout.strip()
        proof.claim(f"permission to {verb} {resource} in {namespace}: {expected}", expected, reply)


def app() -> Object:
    """Return the pod of the demo's app, as its Deployment describes it."""
    (pod,) = [
        pod
        for pod in pods(charts.objects(charts.values("demo"), namespace=APPS))
        if "country-app" in pod["metadata"]["generateName"]
    ]
    return pod


def labelled(pod: Object, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    """Return a pod with the label that requests the sidecar."""
    meta = pod["metadata"]
    labels = {**meta.get("labels", {}), "enforcer.dev/inject": "enabled"}
    return {
        **pod,
        "metadata": {**meta, "labels": labels, "annotations": annotations or {}},
        "spec": {**pod["spec"], **spec},
    }


def create(cluster: ControlPlane, pod: Object, namespace: str = APPS, *options: str) -> tuple[Object | None, str]:
    """Create a pod; return the stored pod, or None, and kubectl's message."""
    process = cluster.attempt("create", "-n", namespace, "-f", "-", "-o", "json", *options, documents=pod)
    return (json.loads(process.stdout) if process.returncode == 0 else None), process.stderr


def names(pod: Object | None, key: str) -> Sequence[str]:
    """Return the names of a pod's containers."""
    return [container["name"] for container in pod["spec"].get(key, [])] if pod is not None else ["(refused)"]


def injection(proof: Proof, cluster: ControlPlane, webhook: Webhook) -> None:
    """Create pods, for real and as dry runs."""
    pod, message = create(cluster, labelled(app()))
    proof.claim(
        "a labelled pod is injected, in a namespace that enforces restricted",
        ["enforcer"],
        names(pod, "initContainers"),
    )
    proof.holds(
        "the response warns about Services, which the webhook does not see",
        "one that uses the number 8090 bypasses the enforcer" in message,
    )
    if pod is not None:
        again, message = create(cluster, _bare(pod))
        result = again["spec"]["initContainers"] if again is not None else message
        proof.claim("a second injection of the injected pod changes nothing", pod["spec"]["initContainers"], result)
    pod, _ = create(cluster, labelled(app()), APPS, "--dry-run=server")
    proof.claim("a dry run injects it, too", ["enforcer"], names(pod, "initContainers"))
    pod, _ = create(cluster, app())
    proof.claim("a pod without the label stays unchanged", [], names(pod, "initContainers"))
    pod, _ = create(cluster, app(), WHOLE)
    proof.claim("in a labelled namespace, it is injected", ["enforcer"], names(pod, "initContainers"))
    portless = {**app(), "spec": {**app()["spec"], "containers": [_portless(app())]}}
    pod, _ = create(cluster, portless, WHOLE)
    proof.claim("in a labelled namespace, a pod without a port is not injected", [], names(pod, "initContainers"))
    marked = (pod or {"metadata": {}})["metadata"].get("annotations", {}).get("enforcer.dev/skipped")
    proof.claim("an annotation marks it, and the admission policy admits it", "no_port", marked)
    for case, invalid, expected in (
        ("an unknown annotation", labelled(app(), {"enforcer.dev/mod": "port"}), "enforcer.dev/mod is unknown"),
        ("the node's network", labelled(app(), hostNetwork=True), "hostNetwork"),
        ("a labelled pod without a port", labelled(portless), "no TCP port"),
        ("another image", labelled(app(), {"enforcer.dev/image": "nginx"}), "the platform forbids it"),
    ):
        pod, message = create(cluster, invalid, OPEN)
        refused = pod is None and re.search(_DENIED, message) and expected in message
        proof.holds(f"{case}: the webhook denies the pod with the reason", refused or message)
        if not refused:
            proof.claim("the message", expected, message)
    transparent = labelled(app(), {"enforcer.dev/mode": "transparent"})
    pod, message = create(cluster, transparent)
    proof.holds("mode transparent: denied if Pod Security enforces restricted", pod is None and "NET_ADMIN" in message)
    pod, _ = create(cluster, transparent, OPEN)
    proof.claim(
        "mode transparent: injected in another namespace",
        ["enforcer-redirect", "enforcer"],
        names(pod, "initContainers"),
    )


def _bare(pod: Object) -> Object:
    """Return a stored pod without the fields that the API server sets."""
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
        documents={"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "owner"}, "spec": spec},
    )
    uid = cluster.get("replicaset", "-n", APPS, "owner")["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owner", "uid": uid, "controller": True}
    pod = labelled(app())
    pod = {**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}
    create(cluster, pod, APPS, "--dry-run=server")
    create(cluster, pod)

    def recorded() -> list[str]:
        events = cluster.get("events", "-n", APPS, "--field-selector", f"involvedObject.uid={uid}")["items"]
        return [event["reason"] for event in events]

    eventually(recorded)
    proof.claim("the pod's owner has exactly one Event: a dry run records none", ["EnforcerInjected"], recorded())


def strangers(proof: Proof, cluster: ControlPlane, webhook: Webhook) -> None:
    """Send reviews that are not from the API server."""
    hooks = cluster.get("mutatingwebhookconfiguration", NAME)["webhooks"]
    (path,) = {hook["clientConfig"]["service"].get("path") for hook in hooks}
    proof.holds("the webhook has published a secret path", re.fullmatch(r"/inject/[0-9a-f]{32}", path))
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "forged", "uid": "forged", "controller": True}
    pod = labelled(app())
    pod = {**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request = {"uid": "1", "operation": "CREATE", "resource": resource, "namespace": APPS, "object": pod}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    def send(path: str) -> int:
        # Its certificate is not the point here.
        return httpx.post(webhook.url + path, json=review, verify=False, trust_env=False).status_code  # noqa: S501

    proof.claim("a review with another path is refused", [403, 403], [send("/inject"), send(f"/inject/{32 * '0'}")])
    events = cluster.get("events", "-n", APPS, "--field-selector", "involvedObject.uid=forged")["items"]
    proof.claim("and records no Event", [], events)
    proof.claim("the metrics count it", True, 'reason="unauthenticated"} 2.0' in webhook.metrics())
    proof.claim("with the path, it is reviewed", 200, send(path))


def clients(proof: Proof, cluster: ControlPlane, webhook: Webhook) -> None:
    """Create a pod, and call the webhook without a certificate, after an upgrade to client certificates."""
    hooks = cluster.get("mutatingwebhookconfiguration", NAME)["webhooks"]
    proof.claim("the path is public", {"/inject"}, {hook["clientConfig"]["service"].get("path") for hook in hooks})

    def injected() -> bool:
        pod, _ = create(cluster, labelled(app()), APPS, "--dry-run=server")
        return names(pod, "initContainers") == ["enforcer"]

    # API servers learn of the new configuration a little later.
    proof.holds("the API server's certificate is accepted: a labelled pod is injected", eventually(injected, 20.0))
    try:
        httpx.post(f"{webhook.url}/inject", content=b"{}", verify=False, trust_env=False)  # noqa: S501
        refused = False
    except httpx.HTTPError:
        refused = True
    proof.holds("a client without a certificate is refused in the handshake", refused)


def safeguards(proof: Proof, cluster: ControlPlane, webhook: Webhook) -> None:
    """Stop the webhook, then delete its configuration: each safeguard works without the other."""
    proof.claim("the webhook stops with exit code 0", 0, webhook.stop())
    pod, message = create(cluster, labelled(app()))
    proof.holds(
        "while the webhook is down, a labelled pod is denied", pod is None and "failed calling webhook" in message
    )
    pod, _ = create(cluster, app())
    proof.holds("while the webhook is down, a pod without the label is created", pod)
    cluster("delete", "mutatingwebhookconfiguration", NAME)
    refusal = "but no container enforcer"
    proof.holds(
        "without the webhook, the admission policy denies a labelled pod",
        eventually(lambda: refusal in create(cluster, labelled(app()))[1], 20.0),
    )
    misspelt = labelled(app())
    misspelt["metadata"]["labels"]["enforcer.dev/inject"] = "enable"
    proof.holds("without the webhook, a label with an unknown value is denied", refusal in create(cluster, misspelt)[1])
    proof.holds("without the webhook, a pod that is injected already is created", create(cluster, _injected())[0])
    proof.holds(
        "without the webhook, the admission policy denies a pod of a labelled namespace",
        "the webhook has not seen the pod" in create(cluster, app(), WHOLE)[1],
    )
    pod, _ = create(cluster, {**_injected(), "metadata": {**_injected()["metadata"], "name": "changed"}})
    name = pod["metadata"]["name"] if pod is not None else "(refused)"
    patch = '[{"op": "replace", "path": "/spec/initContainers/0/image", "value": "nginx"}]'
    changes: tuple[tuple[str, ...], ...] = (
        ("patch", "pod", name, "--type=json", "-p", patch),
        ("label", "pod", name, "enforcer.dev/injected-"),
        ("label", "pod", name, "other=label"),
    )
    messages = [cluster.attempt(*change, "-n", APPS, documents=[]).stderr for change in changes]
    proof.holds("the image of a running sidecar cannot be changed", "cannot be changed in a running pod" in messages[0])
    proof.holds("nor the label that NetworkPolicies select by", "NetworkPolicies select by it" in messages[1])
    proof.claim("other changes of the pod are accepted", "", messages[2])
    excluded = app()
    excluded["metadata"]["labels"] = {**excluded["metadata"].get("labels", {}), "enforcer.dev/inject": "disabled"}
    proof.holds(
        "without the webhook, an excluded pod of a labelled namespace is created", create(cluster, excluded, WHOLE)[0]
    )


def _injected() -> Object:
    """Return the app's pod as `enforcer inject` writes it."""
    pod = labelled(app())
    pod["metadata"]["name"] = "by-hand"
    command = (sys.executable, "-m", "enforcer", "inject", "--kube-version", "1.34", "-f", "-")
    text = run(*command, text=yaml.safe_dump(pod), folder=ROOT)
    return next(document for document in yaml.safe_load_all(text) if document["kind"] == "Pod")
