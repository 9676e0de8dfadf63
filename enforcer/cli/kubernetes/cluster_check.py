"""`enforcer cluster-check`: looks whether a cluster's pods are protected."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Final

import click

from enforcer.cli.kubernetes._assumption_options import assumption_options
from enforcer.cli.kubernetes._kubectl import Kubectl, KubectlError
from enforcer.kubernetes.cluster_check import FAILURES, Check, Reference, Snapshot, check, references, wanting
from enforcer.kubernetes.verify.enforcers import repository
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.yamltext.objects import Object

_ENDPOINTS: Final = ("endpointslices.discovery.k8s.io", "endpoints")
_POLICIES: Final = "networkpolicies.networking.k8s.io"
_ADMISSION: Final = (
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
)


@click.command(name="cluster-check")
@click.option("--kubeconfig", metavar="FILE", help="The kubeconfig (default: as kubectl).")
@click.option("--context", metavar="NAME", help="The context of the kubeconfig (default: the current one).")
@assumption_options
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    kubeconfig: str | None,
    context: str | None,
    images: Sequence[str],
    accepted: Sequence[str],
    no_network_policies: bool,
    form: str,
) -> None:
    """Look whether the pods of a cluster that want the enforcer have it, and whether clients can bypass it.

    Reads the cluster with kubectl, and changes nothing: pods that are labelled, or whose namespace is, or that have the
    enforcer, with the Services, EndpointSlices and NetworkPolicies around them; the ConfigMaps and Secrets that they
    need; the versions of the enforcers; the webhook and the admission policy. `enforcer verify --help` explains the
    verdicts. Of Secrets only the names are read.

    Exit codes: 0 all is as it should be, 1 something is open, bare, missing or faulty, 2 wrong usage, or the cluster
    cannot be read.

    \b
    Examples:
      enforcer cluster-check
      enforcer cluster-check --context production --accept metrics -o json
    """
    options = [f"--{name}={value}" for name, value in (("kubeconfig", kubeconfig), ("context", context)) if value]
    kubectl = Kubectl(options)
    try:
        assumptions = Assumptions(
            images=frozenset(map(repository, images)),
            oldest=kubectl.version(),
            enforced=not no_network_policies,
            accepted=frozenset(port.lower() for port in accepted),
        )
        checks = check(_snapshot(kubectl, assumptions.images), assumptions)
    except KubectlError as error:
        click.echo(error, err=True)
        sys.exit(2)
    if form == "json":
        click.echo(json.dumps({"checks": [asdict(each) for each in checks]}, indent=2, ensure_ascii=False))
    else:
        _print(checks)
    sys.exit(1 if any(each.result in FAILURES for each in checks) else 0)


def _print(checks: Sequence[Check]) -> None:
    width = max((len(each.name) for each in checks), default=0)
    for each in checks:
        click.echo(f"{each.name:{width}}  {each.result:11}  {each.detail}")


def _snapshot(kubectl: Kubectl, images: Collection[str]) -> Snapshot:
    """Read the cluster; raises KubectlError."""
    resources = kubectl.resources()
    foreign = [name for name in resources if "networkpolic" in name and name != _POLICIES]
    objects = kubectl.list_all("namespaces", "pods", "services", *_ENDPOINTS, _POLICIES, *foreign)
    needed = references(wanting(objects, images), images)
    return Snapshot(
        objects=objects,
        needed={reference: _state(kubectl, reference) for reference in needed},
        webhooks=kubectl.list_all("mutatingwebhookconfigurations.admissionregistration.k8s.io"),
        policies=kubectl.list_all(*_ADMISSION) if set(_ADMISSION) <= set(resources) else None,
    )


def _state(kubectl: Kubectl, reference: Reference) -> Object | bool | None:
    """Return an object that an enforcer needs, of a Secret only whether it exists; None if that cannot be read."""
    try:
        if reference.kind == "Secret":
            return kubectl.exists("secrets", reference.namespace, reference.name)
        return kubectl.get("configmaps", reference.namespace, reference.name) or False
    except KubectlError:
        return None
