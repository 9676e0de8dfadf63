"""Odd workloads, Services and policies: each verdict is the one that its case in `odd/` reasons, and the simulation's.

A case changes a Deployment that an injection has protected, or has objects of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import Object, container, deployment, pod_spec, service, template
from harness.kubernetes.reachability import CRUEL, KIND, reached

from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.kubernetes.verify.verdicts import Finding, Verdict, verify
from enforcer.yamltext.documents import read
from enforcer.yamltext.stream import Stream

Case = dict[str, Any]

CASES: list[Case] = [
    case for path in sorted((Path(__file__).parent / "odd").glob("*.yaml")) for case in yaml.safe_load(path.read_text())
]


def objects_of(case: Case) -> list[Object]:
    """Return the objects of a case, of which the first is the workload in question."""
    things = _parsed(case["text"]) if "text" in case else _injected(case)
    return [*things, *_parsed(case.get("more", ""))]


def _parsed(text: str) -> list[Object]:
    return list(Stream(list(read("case", text))).objects)


def _injected(case: Case) -> list[Object]:
    app = deployment(container())
    app["kind"] = case.get("kind", "Deployment")
    in_apps = [{**thing, "metadata": {**thing["metadata"], "namespace": "apps"}} for thing in (app, service())]
    settings = {**case["inject"], "mode": Mode(case["inject"]["mode"])}
    things = objects_after(inject_all(in_apps, options(native=True, **settings)))
    _change(things[0], case)
    return things


def _change(workload: Object, case: Case) -> None:
    metadata, spec = template(workload)["metadata"], pod_spec(workload)
    metadata["annotations"] = {**metadata["annotations"], **case.get("annotations", {})}
    metadata["labels"] = {**metadata["labels"], **case.get("labels", {})}
    for key, value in case.get("pod", {}).items():
        spec[key] = [*value, *spec.get(key, [])] if isinstance(value, list) else value
    for key, value in case.get("pod_append", {}).items():
        spec[key] = [*spec.get(key, []), *value]
    spec["containers"] = [*spec["containers"], *case.get("containers", [])]
    named = {volume["name"]: volume for volume in [*spec["volumes"], *case.get("volumes", [])]}
    spec["volumes"] = list(named.values())
    if "tamper" in case:
        every = [*spec["containers"], *spec.get("initContainers", [])]
        one = next(each for each in every if each["name"] == case["tamper"]["container"])
        one.update(case["tamper"].get("set", {}))
        for key, value in case["tamper"].get("append", {}).items():
            one[key] = [*one.get(key, []), *value]


def finding_of(things: list[Object], case: Case) -> Finding:
    """Return the finding on the first workload."""
    assumptions = Assumptions(images=frozenset({"e"}), oldest=(1, 32), **case.get("assume", {}))
    return min(verify(things, assumptions), key=lambda finding: finding.index)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_an_odd_object_has_the_verdict_that_follows_from_its_meaning(case: Case) -> None:
    """And each open port is found, and the conditions are the ones that it has."""
    result = finding_of(objects_of(case), case)
    ports = [str(port.port.endpoint).replace("port ", "") for port in result.ports if port.opening is not None]
    assert (result.verdict, ports) == (case["verdict"], case.get("open", [])), case["because"]
    if "conditions" in case:
        assert case["conditions"] == [each for each in result.conditions if each in case["conditions"]]


@pytest.mark.parametrize("case", [case for case in CASES if case.get("simulated", True)], ids=lambda case: case["name"])
def test_an_odd_object_has_the_verdict_of_the_simulation(case: Case) -> None:
    """Open: clients reach the app in a kind world; protected and portless: not even in a cruel one."""
    things = objects_of(case)
    result = finding_of(things, case)
    kind, cruel = (reached(things[0], things, "e:1", world) for world in (KIND, CRUEL))
    assert {(port.port.endpoint.protocol, port.port.endpoint.number) for port in result.ports if port.opening} == kind
    assert (result.verdict in (Verdict.PROTECTED, Verdict.PORTLESS)) == (not cruel)
