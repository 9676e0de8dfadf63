"""The chart's demo: the gateway in front of the country app, as `helm install` would create it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from harness.kubernetes import charts

from e2e import BUILD
from e2e.pods import proofs
from e2e.pods.image import NAME, TAG
from e2e.pods.node import running
from e2e.pods.podman import Podman
from e2e.proof import Proof

Object = dict[str, Any]

NAMESPACE: Final = "demo"
_IMAGE: Final = {"image": {"repository": NAME, "tag": TAG, "pullPolicy": "Never"}}


def manifests() -> list[Object]:
    """Render the demo."""
    values = charts.merged(charts.values("demo"), _IMAGE)
    return charts.objects(values, namespace=NAMESPACE)


def gateway(proof: Proof, podman: Podman, folder: Path) -> None:
    """Run the demo and the pods of `helm test`."""
    proof.part("The demo of the chart: a gateway in front of the country app")
    documents = manifests()
    with running(podman, BUILD, documents, NAMESPACE) as node:
        node.start()
        server = f"{node.url('authserver', 8085)}/ms-auth-server"
        enforcer = node.url("enforcer", 80)
        client = proofs.Client(server)
        token = client.token()
        pods = node.of("enforcer")
        proofs.walk(proof, client, enforcer, server)
        proofs.probes(proof, pods[0])
        proofs.confinement(proof, pods[0], "enforcer")
        proofs.helm_test(proof, node)
        proofs.metrics(proof, client, pods, 9091)
        proofs.swap(proof, node, client, enforcer, pods, 9091, "enforcer")
        proofs.drain(proof, node, "enforcer", enforcer, ["/ms-system/country/code/AUS", "/ms-system/country"], token)
