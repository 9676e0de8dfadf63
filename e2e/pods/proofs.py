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
_SOME: Final = 100
"""Requests: enough for the load to be under way."""
_SOON: Final = 30.0
"""Seconds for a change of a ConfigMap to be applied, once the kubelet has replaced the folder."""


class Client:
    """A client outside of all pods, which gets tokens from the demo's authorization server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.http = httpx.Client(trust_env=False, timeout=20.0)

    def token(self, scope: str = "country.read") -> str:
        """Get a token."""
        form = {"grant_type": "client_credentials", "client_id": "user-client-opaque", "scope": scope}
        answer = self.http.post(f"{self._server}/oauth2/token", data={**form, "client_secret": "user-client-secret"})
        return str(answer.raise_for_status().json()["access_token"])

    def status(self, url: str, token: str | None = None) -> int:
        """Send a request, and return the status; 0 if there is no response."""
        try:
            return self.ask(url, token).status_code
        except httpx.TransportError:
            return 0

    def ask(self, url: str, token: str | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a request."""
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.get(url, headers={**(headers or {}), **authorization})


def walk(proof: Proof, client: Client, enforcer: str, server: str) -> None:
    """Run the transcript from outside of the pods."""
    for step in Walk(client.http, enforcer, ISSUER, server).steps():
        wrong = [str(check) for check in step.checks if not check.right]
        proof.claim(f"{step.title}: {', '.join(check.name for check in step.checks)}", [], wrong)


def identity(proof: Proof, client: Client, url: str, token: str) -> None:
    """The app gets the client's identity, and only from the enforcer."""
    told = client.ask(url, token, _FORGED).json()
    fields = {name: value for name, value in told.items() if name.replace("_", "-").startswith("x-auth-")}
    who = {"x-auth-subject": "user-client-opaque", "x-auth-client": "user-client-opaque"}
    proof.claim("the app gets the identity of the sender", {**who, "x-auth-scope": "country.read"}, fields)


def probes(proof: Proof, pod: Pod) -> None:
    """All probes succeed, sent from outside of the pod like the kubelet's."""
    wrong = [probe for probe, holds in pod.probes().items() if not holds]
    proof.claim(f"{pod.name}: all {len(pod.probes())} probes hold, seen from the node", [], wrong)


def confinement(proof: Proof, pod: Pod, container: str) -> None:
    """The process is unprivileged and cannot gain privileges."""
    status = dict(re.findall(r"^(\w+):\s+(.*)$", pod.exec(container, "cat", "/proc/1/status"), re.MULTILINE))
    proof.claim(f"{pod.name}: {container} runs as 65532", "65532", status["Uid"].split()[0])
    proof.claim("without any capability", {"0" * 16}, {status[name] for name in ("CapPrm", "CapEff", "CapBnd")})
    proof.claim("and can gain none", "1", status["NoNewPrivs"])


def metrics(proof: Proof, client: Client, pods: Sequence[Pod], port: int) -> None:
    """The pods' metrics together count the decisions."""
    text = "".join(client.http.get(f"http://{pod.address}:{port}/metrics").text for pod in pods)
    counted = {reason for reason in ("ok", "missing_token", "insufficient_scope") if _sum(text, reason)}
    proof.claim("allowed, 401 and 403 are counted", {"ok", "missing_token", "insufficient_scope"}, counted)


def _sum(text: str, reason: str) -> float:
    found = re.findall(rf'^enforcer_decisions_total{{.*reason="{reason}".*}} (\S+)$', text, re.MULTILINE)
    return sum(map(float, found))


def drain(proof: Proof, node: Node, workload: str, url: str, paths: Sequence[str], token: str) -> None:
    """Replace a pod under load."""
    with load(url, token, paths) as traffic:
        eventually(lambda: traffic.answers.total() > _SOME)
        leaving = node.of(workload)[0]
        node.add(leaving.template)
        node.withdraw(leaving)
        codes = leaving.stop()
        seen = traffic.answers.total()
        eventually(lambda: traffic.answers.total() > seen + _SOME)
    proof.claim(
        f"{traffic.answers.total()} requests while a pod was replaced: none is lost", {200}, set(traffic.answers)
    )
    proof.claim("and every container ended well", dict.fromkeys(codes, 0), codes)


def helm_test(proof: Proof, node: Node) -> None:
    """Run the pods of `helm test`, which send requests from inside."""
    for template in node.templates.values():
        if template.annotations.get("helm.sh/hook") == "test":
            pod = node.add(template)
            proof.claim(f"helm test, from within: {template.name} finds all well", {0}, set(pod.wait().values()))
            for line in pod.logs(template.containers[0].name).splitlines():
                proof.note(line)


def swap(proof: Proof, node: Node, client: Client, url: str, pods: Sequence[Pod], port: int, name: str) -> None:
    """Change a ConfigMap: remove a rule, break the configuration, and restore the rule."""
    token, before = client.token(), node.held("ConfigMap", name)
    text = before[_KEY].decode()

    def change(content: str) -> None:
        node.change("ConfigMap", name, {**before, _KEY: content.encode()})

    def answers(status: int) -> bool:
        return all(client.status(url + _COUNTRY, token) == status for _ in range(2 * len(pods)))

    def tells(line: str) -> bool:
        return all(line in client.http.get(f"http://{pod.address}:{port}/metrics").text for pod in pods)

    config = yaml.safe_load(text)
    proof.holds("before the change of the ConfigMap, the rule allows", answers(200))
    rules = [rule for rule in config["rules"] if rule["name"] != "read countries"]
    change(yaml.safe_dump({**config, "rules": rules}))
    proof.holds("a rule that was taken out no longer allows", eventually(lambda: answers(403), _SOON))
    change("rules: [")
    told = eventually(lambda: tells("enforcer_config_last_reload_successful 0.0"), _SOON)
    proof.holds("an invalid file is reported in the metrics", told)
    proof.holds("and what held before it holds on", answers(403))
    change(text)
    proof.holds("the rule is there again", eventually(lambda: answers(200), _SOON))
