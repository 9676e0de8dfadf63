"""`python -m e2e.cluster`: the tests against an API server."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from e2e.cluster import cluster_check, injector, proofs
from e2e.cluster.controlplane import CLIENT, TOOLS, ControlPlane, build, control_plane, version
from e2e.proof import Proof
from e2e.tools import ToolError, demand


@click.command()
def main() -> None:
    """Test the charts, the overlays and the injector with a bare API server.

    Requires Linux, root, and some programs; missing ones are listed. The first run compiles the API server, which takes
    a quarter of an hour.
    """
    proof = Proof()
    try:
        demand(*TOOLS)
        click.echo(f"kube-apiserver {version()} …")
        build()
        with tempfile.TemporaryDirectory(prefix="enforcer-e2e-") as name:
            folder = Path(name)
            with control_plane(folder) as cluster:
                _prove(proof, cluster, folder)
    except ToolError as error:
        click.echo(error, err=True)
        sys.exit(2)
    click.echo(f"\n{proof.passed} of {proof.passed + proof.failed} claims hold")
    sys.exit(1 if proof.failed else 0)


def _prove(proof: Proof, cluster: ControlPlane, folder: Path) -> None:
    proofs.namespaces(cluster)
    cluster("create", "namespace", injector.NAMESPACE)
    objects = injector.install(cluster)
    with injector.webhook(cluster, objects, folder / "account") as webhook:
        proof.part("The injector, installed by the chart")
        proofs.trust(proof, cluster)
        proof.part("All objects of all manifests, with the webhook and the admission policy in force")
        proofs.every_object(proof, cluster)
        proof.part("Pods that the API server creates")
        proofs.injection(proof, cluster, webhook)
        proofs.events(proof, cluster)
        proof.part("A look at the cluster")
        cluster_check.cluster_check(proof, cluster)
        proof.part("Reviews that are not from the API server")
        proofs.strangers(proof, cluster, webhook)
        webhook.stop()
    objects = injector.install(cluster, {"clientCa": cluster.ca.read_text(), "clientNames": [CLIENT]})
    with injector.webhook(cluster, objects, folder / "account-with-certificates") as webhook:
        proof.part("The webhook, upgraded to client certificates")
        proofs.clients(proof, cluster, webhook)
        proof.part("The webhook and the admission policy, each without the other")
        proofs.safeguards(proof, cluster, webhook)


if __name__ == "__main__":
    main(prog_name="python -m e2e.cluster")
