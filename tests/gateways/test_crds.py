"""The objects for gateways on Kubernetes, validated against the gateways' own definitions.

`make gateways GATEWAY_CRDS=DIR` runs them: DIR has the definitions (CRDs) of Gateway API's experimental channel, Envoy
Gateway, Istio, Contour and Traefik. docs/decision-api.md says where each project has them.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
import yaml
from harness.kubernetes import charts

from gateways.crds import Definitions, Object
from gateways.gateway import EXAMPLES

FOLDER = os.environ.get("GATEWAY_CRDS", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="run by `make gateways GATEWAY_CRDS=DIR`")

KUBERNETES = EXAMPLES / "kubernetes"
OBJECTS = [
    pytest.param(thing, id=f"{path.stem}-{thing['kind']}")
    for path in sorted(KUBERNETES.glob("*.yaml"))
    for thing in yaml.safe_load_all(path.read_text("utf-8"))
]
NOT_DEFINED = ("IstioOperator",)
"""The kinds that no definition describes: Istio's own file of settings."""


@cache
def definitions() -> Definitions:
    return Definitions(Path(FOLDER))


@pytest.mark.parametrize("thing", OBJECTS)
def test_an_example_is_valid(thing: Object) -> None:
    """With no field that the API server would drop: a misspelled `failOpen` would not be noticed."""
    if thing["kind"] in NOT_DEFINED:
        pytest.skip("no definition describes it")
    if thing["kind"] == "Ingress":
        assert charts.violations([dict(thing)]) == []
    else:
        assert definitions().knows(thing), f"no definition of {thing['apiVersion']} {thing['kind']} in {FOLDER}"
        assert definitions().faults(thing) == []


@pytest.mark.parametrize("name", sorted(charts.CI))
def test_the_objects_of_the_chart_are_valid(name: str) -> None:
    """As far as one of the definitions describes them."""
    things = [thing for thing in charts.objects(charts.values(name)) if definitions().knows(thing)]
    assert [fault for thing in things for fault in definitions().faults(thing)] == []


def test_an_unknown_field_is_a_fault() -> None:
    """Otherwise the tests above would prove little."""
    (middleware,) = yaml.safe_load_all((KUBERNETES / "traefik.yaml").read_text("utf-8"))
    middleware["spec"]["forwardAuth"]["trustForwardedHeader"] = False
    assert len(definitions().faults(middleware)) == 1
