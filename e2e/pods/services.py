"""Services as kube-proxy implements them: virtual addresses that iptables redirects to pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from e2e.pods.manifests import Template
from e2e.pods.podman import SUBNET
from e2e.tools import attempt, run

Object = dict[str, Any]

_PREFIX: Final = "10.96.77"
_INTERFACE: Final = "enforcer-e2e"
_TO, _FROM = "ENFORCER-E2E-TO", "ENFORCER-E2E-FROM"
_JUMPS: Final = (("PREROUTING", _TO), ("OUTPUT", _TO), ("POSTROUTING", _FROM))


@dataclass(frozen=True, slots=True)
class Service:
    """A Service and its address on this machine; None if it is headless."""

    name: str
    address: str | None
    selector: Mapping[str, str]
    ports: Sequence[Object]

    def selects(self, template: Template) -> bool:
        """Return whether it selects the pods of a template."""
        return bool(self.selector) and self.selector.items() <= template.labels.items()


def services(documents: Iterable[Object]) -> list[Service]:
    """Assign an address to each Service among the documents."""
    matching = (document for document in documents if document["kind"] == "Service")
    return [
        Service(
            document["metadata"]["name"],
            None if document["spec"].get("clusterIP") == "None" else f"{_PREFIX}.{number}",
            document["spec"].get("selector") or {},
            document["spec"]["ports"],
        )
        for number, document in enumerate(matching, 1)
    ]


def target(port: Object, template: Template) -> int:
    """Find the port that a Service's port leads to: by number, or by name among the app's containers, then sidecars."""
    name_or_number = port.get("targetPort", port["port"])
    if isinstance(name_or_number, int):
        return name_or_number
    # Kubernetes 1.32: pod.FindPort searches the containers first, then native sidecars.
    for is_init in (False, True):
        for container in template.containers:
            if container.first is is_init and container.stays:
                for declared in container.written.get("ports") or []:
                    if declared.get("name") == name_or_number:
                        return int(declared["containerPort"])
    raise LookupError(f"no container of {template.name} has a port called {name_or_number}")


class Proxy:
    """Routes addresses of Services to pods; `close` removes all rules."""

    def start(self) -> None:
        """Create empty chains and the interface for Service addresses."""
        for chain in (_TO, _FROM):
            run("iptables", "-t", "nat", "-N", chain)
        for place, chain in _JUMPS:
            run("iptables", "-t", "nat", "-I", place, "1", "-j", chain)
        # Pods respond to each other through this machine; otherwise the response would come from another address.
        rule = ("-s", SUBNET, "-d", SUBNET, "-m", "conntrack", "--ctstate", "DNAT", "-j", "MASQUERADE")
        run("iptables", "-t", "nat", "-A", _FROM, *rule)
        # This machine needs a route to the virtual addresses, although packets take another one after translation.
        run("ip", "link", "add", _INTERFACE, "type", "bridge")
        run("ip", "address", "add", f"{_PREFIX}.254/24", "dev", _INTERFACE)
        run("ip", "link", "set", _INTERFACE, "up")

    def route(self, routes: Iterable[tuple[str, int, Sequence[tuple[str, int]]]]) -> None:
        """Route each (address, port) to pods in turn; affects new connections, all rules at once."""
        lines = [f"-A {_TO} {rule}" for address, port, pods in routes for rule in _rules(address, port, pods)]
        text = "\n".join(("*nat", f":{_TO} - [0:0]", *lines, "COMMIT", ""))
        run("iptables-restore", "--noflush", text=text)

    def close(self) -> None:
        """Remove all rules, including those of a killed run."""
        for place, chain in _JUMPS:
            while attempt("iptables", "-t", "nat", "-D", place, "-j", chain).returncode == 0:
                pass
        for chain in (_TO, _FROM):
            attempt("iptables", "-t", "nat", "-F", chain)
            attempt("iptables", "-t", "nat", "-X", chain)
        attempt("ip", "link", "del", _INTERFACE)


def _rules(address: str, port: int, pods: Sequence[tuple[str, int]]) -> Iterator[str]:
    for remaining, (pod, number) in zip(range(len(pods), 0, -1), pods, strict=True):
        condition = f"-m statistic --mode nth --every {remaining} --packet 0 " if remaining > 1 else ""
        yield f"-d {address}/32 -p tcp --dport {port} {condition}-j DNAT --to-destination {pod}:{number}"
