"""Claims about `enforcer cluster-check`, which reads the API server with kubectl."""

from __future__ import annotations

import json
import sys

from e2e.cluster.controlplane import ControlPlane, Object
from e2e.cluster.injector import NAME
from e2e.cluster.proofs import APPS, app, create, labelled
from e2e.proof import Proof
from e2e.tools import attempt

LATE = "late"
"""A namespace that is labelled after its pods were created."""


def cluster_check(proof: Proof, cluster: ControlPlane) -> None:
    """Create pods of every kind, and look at the cluster."""
    cluster("create", "namespace", LATE)
    cluster("create", "serviceaccount", "default", "-n", LATE)
    pods = {
        "loopback": (APPS, labelled(app(), {"enforcer.dev/mode": "loopback", "enforcer.dev/policy": "rules"})),
        "bare": (LATE, app()),
    }
    for name, (namespace, pod) in pods.items():
        created, message = create(cluster, _named(pod, name), namespace)
        proof.holds(f"the pod {name} is created", created or message)
    cluster("label", "namespace", LATE, "enforcer.dev/inject=enabled")
    code, results = _look(cluster)
    expected = {
        f"pod/loopback -n {APPS}": "protected",
        f"pod/bare -n {LATE}": "bare",
        f"configmap/rules -n {APPS}": "missing",
        f"secret/loopback-enforcer -n {APPS}": "missing",
        f"validatingadmissionpolicy/{NAME}": "ok",
        # The webhook runs beside the API server here, not in a pod.
        f"mutatingwebhookconfiguration/{NAME}": "faulty",
    }
    actual = {name: results.get(name, "") for name in expected}
    proof.claim("protected and bare pods, missing objects and the injector are reported", expected, actual)
    proof.claim("the exit code is 1", 1, code)
    data = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rules"},
        "data": {"config.yaml": "rules: []"},
    }
    cluster("apply", "-n", APPS, "-f", "-", documents=data)
    cluster("create", "secret", "generic", "loopback-enforcer", "-n", APPS, "--from-literal=client-id=a")
    _, results = _look(cluster)
    gone = [name for name in (f"configmap/rules -n {APPS}", f"secret/loopback-enforcer -n {APPS}") if name in results]
    proof.claim("objects that exist are not reported", [], gone)
    cluster("apply", "-n", APPS, "-f", "-", documents=_endpoints("loopback"))
    _, results = _look(cluster)
    proof.claim("endpoints by hand show a port of a pod", "open", results.get(f"pod/loopback -n {APPS}", ""))
    cluster("delete", "endpointslice", "by-hand", "-n", APPS)
    cluster("delete", "namespace", LATE, "--wait=false")


def _endpoints(pod: str) -> Object:
    """Return an EndpointSlice that names a pod, and a port that nothing else mentions."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "by-hand"},
        "addressType": "IPv4",
        "ports": [{"port": 9999, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": pod}}],
    }


def _named(pod: Object, name: str) -> Object:
    metadata = {key: value for key, value in pod["metadata"].items() if key != "generateName"}
    return {**pod, "metadata": {**metadata, "name": name}}


def _look(cluster: ControlPlane) -> tuple[int, dict[str, str]]:
    """Return the exit code, and the first result of each name."""
    command = [sys.executable, "-m", "enforcer", "cluster-check", f"--kubeconfig={cluster.kubeconfig}", "-o", "json"]
    process = attempt(*command)
    if process.returncode == 2:
        return 2, {"message": process.stderr}
    results: dict[str, str] = {}
    for check in json.loads(process.stdout)["checks"]:
        results.setdefault(check["name"], check["result"])
    return process.returncode, results
