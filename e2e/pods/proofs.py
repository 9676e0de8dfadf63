"""Claims about running pods: the chart's demo, and apps with injected sidecars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import yaml
from harness.waiting import eventually

from e2e.pods.kubelet import Pod
from e2e.pods.load import load
from e2e.pods.node import Node
from e2e.proof import Proof
from enforcer.cli._walk import Walk

Object = dict[str, Any]

ISSUER: Final = "http://localhost:8085/ms-auth-server"
"""Issuer of the demo's authorization server, wherever it runs."""
_COUNTRY: Final = "/ms-system/country/code/AUS"
_FORGED: Final = {"X-Auth-Subject": "root", "x_auth_subject": "root", "X-Auth-Scope": "country.write"}
_KEY: Final = "config.yaml"
_MINIMUM: Final = 100
"""Requests until the load counts as steady."""
_TIMEOUT: Final = 30.0
"""Timeout for applying a change of a ConfigMap, in seconds, once the kubelet has replaced the folder."""


class Client:
    """A client outside of all pods, which gets tokens from the demo's authorization server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.http = httpx.Client(trust_env=False, timeout=20.0)

    def token(self, scope: str = "country.read") -> str:
        """Get a token."""
        form = {"grant_type": "client_credentials", "client_id": "user-client-opaque", "scope": scope}
        response = self.http.post(f"{self._server}/oauth2/token", data={**form, "client_secret": "user-client-secret"})
        return str(response.raise_for_status().json()["access_token"])

    def status(self, url: str, token: str | None = None) -> int:
        """Send a request, and return the status; 0 if there is no response."""
        try:
            return self.send(url, token).status_code
        except httpx.TransportError:
            return 0

    def send(self, url: str, token: str | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a request."""
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.get(url, headers={**(headers or {}), **authorization})


def walk(proof: Proof, client: Client, enforcer: str, server: str) -> None:
    """Send the requests of `enforcer demo`, from outside of the pods."""
    for step in Walk(client.http, enforcer, ISSUER, server).steps():
        failed = [str(check) for check in step.checks if not check.right]
        proof.claim(f"{step.title}: {', '.join(check.name for check in step.checks)}", [], failed)


def identity(proof: Proof, client: Client, url: str, token: str) -> None:
    """The app gets the client's identity, and only from the enforcer."""
    received = client.send(url, token, _FORGED).json()
    fields = {name: value for name, value in received.items() if name.replace("_", "-").startswith("x-auth-")}
    client_id = "user-client-opaque"
    expected = {"x-auth-subject": client_id, "x-auth-client": client_id, "x-auth-scope": "country.read"}
    proof.claim("the app gets the identity fields from the enforcer, not from the client", expected, fields)


def probes(proof: Proof, pod: Pod) -> None:
    """All probes succeed, sent from outside of the pod like the kubelet's."""
    failed = [probe for probe, succeeds in pod.probes().items() if not succeeds]
    proof.claim(f"{pod.name}: all {len(pod.probes())} probes from the node succeed", [], failed)


def confinement(proof: Proof, pod: Pod, container: str) -> None:
    """The process is unprivileged and cannot gain privileges."""
    status = dict(re.findall(r"^(\w+):\s+(.*)$", pod.exec(container, "cat", "/proc/1/status"), re.MULTILINE))
    proof.claim(f"{pod.name}: {container} runs as 65532", "65532", status["Uid"].split()[0])
    capabilities = {status[name] for name in ("CapPrm", "CapEff", "CapBnd")}
    proof.claim(f"{pod.name}: {container} has no capabilities", {"0" * 16}, capabilities)
    proof.claim(f"{pod.name}: {container} cannot gain privileges", "1", status["NoNewPrivs"])


def metrics(proof: Proof, client: Client, pods: Sequence[Pod], port: int) -> None:
    """The pods' metrics together count the decisions."""
    text = "".join(client.http.get(f"http://{pod.address}:{port}/metrics").text for pod in pods)
    counted = {reason for reason in ("ok", "missing_token", "insufficient_scope") if _sum(text, reason)}
    proof.claim(
        "the metrics count allowed requests, 401 and 403", {"ok", "missing_token", "insufficient_scope"}, counted
    )


def _sum(text: str, reason: str) -> float:
    values = re.findall(rf'^enforcer_decisions_total{{.*reason="{reason}".*}} (\S+)$', text, re.MULTILINE)
    return sum(map(float, values))


def drain(proof: Proof, node: Node, workload: str, url: str, paths: Sequence[str], token: str) -> None:
    """Replace a pod under load."""
    with load(url, token, paths) as traffic:
        eventually(lambda: traffic.outcomes.total() > _MINIMUM)
        leaving = node.of(workload)[0]
        node.add(leaving.template)
        node.withdraw(leaving)
        codes = leaving.stop()
        sent = traffic.outcomes.total()
        eventually(lambda: traffic.outcomes.total() > sent + _MINIMUM)
    proof.claim(
        f"{traffic.outcomes.total()} requests while a pod was replaced: none was lost", {200}, set(traffic.outcomes)
    )
    proof.claim("every container of the replaced pod ended with exit code 0", dict.fromkeys(codes, 0), codes)


def helm_test(proof: Proof, node: Node) -> None:
    """Run the pods of `helm test`, which send requests from inside."""
    for template in node.templates.values():
        if template.annotations.get("helm.sh/hook") == "test":
            pod = node.add(template)
            proof.claim(f"helm test: {template.name} succeeds in the cluster", {0}, set(pod.wait().values()))
            for line in pod.logs(template.containers[0].name).splitlines():
                proof.note(line)


def swap(proof: Proof, node: Node, client: Client, url: str, pods: Sequence[Pod], port: int, name: str) -> None:
    """Change a ConfigMap: remove a rule, break the configuration, and restore the rule."""
    token, before = client.token(), node.data("ConfigMap", name)
    text = before[_KEY].decode()

    def change(content: str) -> None:
        node.change("ConfigMap", name, {**before, _KEY: content.encode()})

    def all_respond(status: int) -> bool:
        return all(client.status(url + _COUNTRY, token) == status for _ in range(2 * len(pods)))

    def has_metric(line: str) -> bool:
        return all(line in client.http.get(f"http://{pod.address}:{port}/metrics").text for pod in pods)

    config = yaml.safe_load(text)
    proof.holds("before the ConfigMap is changed, the rule allows the request", all_respond(200))
    rules = [rule for rule in config["rules"] if rule["name"] != "read countries"]
    change(yaml.safe_dump({**config, "rules": rules}))
    proof.holds("without the rule, the request is denied", eventually(lambda: all_respond(403), _TIMEOUT))
    change("rules: [")
    reported = eventually(lambda: has_metric("enforcer_config_last_reload_successful 0.0"), _TIMEOUT)
    proof.holds("a metric reports a configuration that cannot be loaded", reported)
    proof.holds("the former configuration stays in force", all_respond(403))
    change(text)
    proof.holds("with the rule again, the request is allowed", eventually(lambda: all_respond(200), _TIMEOUT))
