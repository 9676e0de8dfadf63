"""docs/decision-api.md and its examples: files that exist and are listed, contracts, ports and names that match."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.kubernetes import charts
from pydantic import TypeAdapter

from enforcer.config.load import load
from enforcer.config.schema import shape
from enforcer.settings.forwarding import ForwardingSettings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "decision-api.md").read_text("utf-8")
EXAMPLES = ROOT / "docs" / "examples" / "decision-api"
KUBERNETES = EXAMPLES / "kubernetes"
VALUES = Path("kubernetes/values")
FILES = sorted(path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*") if path.is_file())
GATEWAYS = [path for path in FILES if path.name != "enforcer.yaml" and path.parent != VALUES]
ROW = re.compile(r"^\| [^|]+ \| \[[^|]+\]\(examples/decision-api/([^)]+)\) \| (?:`([a-z-]+)`) \|", re.MULTILINE)
LISTED = {Path(name): contract for name, contract in ROW.findall(PAGE)}
IDENTITY = list(ForwardingSettings().identity)


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((EXAMPLES / path).read_text("utf-8")) if document]


def test_each_example_is_listed_with_its_contract() -> None:
    """And names that contract itself, for readers who have only the file."""
    assert sorted(LISTED) == sorted(GATEWAYS)
    known = {str(name) for name in shape().expected(("decision", 0, "contract")).replace(" or ", ", ").split(", ")}
    assert set(re.findall(r"^\| `([a-z-]+)` \| [A-Za-z]", PAGE, re.MULTILINE)) == known
    for path, contract in LISTED.items():
        assert contract in known
        assert f"`contract: {contract}`" in (EXAMPLES / path).read_text("utf-8"), path


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=str)
def test_each_yaml_file_can_be_read(path: Path) -> None:
    """Objects of Kubernetes have a version, a kind and a name in a namespace."""
    for document in documents(path):
        if path.parent.name == "kubernetes":
            assert {"apiVersion", "kind", "metadata"} <= document.keys()
            assert {"name", "namespace"} <= document["metadata"].keys()


@pytest.mark.parametrize("path", [path for path in GATEWAYS if path.parent == Path()], ids=str)
def test_an_example_asks_the_enforcer_of_the_examples(path: Path) -> None:
    """On the port of enforcer.yaml, and forwards to the app of the demo."""
    text = (EXAMPLES / path).read_text("utf-8")
    address = documents(Path("enforcer.yaml"))[0]["decision"][0]["address"]
    assert re.search(rf"127\.0\.0\.1[:, a-z_]+{address.rpartition(':')[2]}\b", text)
    assert re.search(r"127\.0\.0\.1[:, a-z_]+8090\b", text)


@pytest.mark.parametrize("path", [Path("nginx.conf"), Path("Caddyfile"), Path("traefik.yaml")], ids=str)
def test_a_gateway_that_lists_fields_lists_all_identity_fields(path: Path) -> None:
    """A field that it does not set would be the client's own."""
    text = (EXAMPLES / path).read_text("utf-8")
    assert [name for name in IDENTITY if name not in text] == []


@pytest.mark.parametrize("name", ["traefik.yaml", "ingress-nginx.yaml"])
def test_so_do_the_objects_of_kubernetes(name: str) -> None:
    """As above."""
    text = (KUBERNETES / name).read_text("utf-8")
    assert [field for field in IDENTITY if field not in text] == []


def test_the_configuration_of_the_examples_is_valid() -> None:
    """The one beside the gateways."""
    config = load(EXAMPLES / "enforcer.yaml", {"ENFORCER_CLIENT_SECRET": "secret"}).config
    assert config.decision[0].contract == "nginx"


def test_each_gateway_of_kubernetes_has_values() -> None:
    """Under the name of its objects' file."""
    names = {path.name for path in LISTED if path.parent == Path("kubernetes")}
    assert {path.name for path in FILES if path.parent == VALUES} == {*names, "common.yaml"}


@pytest.mark.parametrize("path", [path for path in LISTED if path.parent.name == "kubernetes"], ids=str)
def test_the_objects_ask_the_service_that_the_chart_creates(path: Path, tmp_path: Path) -> None:
    """With the values of the gateway: by name, namespace and port, and with its contract."""
    values = charts.merged(documents(VALUES / "common.yaml")[0], documents(VALUES / path.name)[0])
    assert charts.refusal(values) == ""
    objects = charts.objects(values, name="enforcer", namespace="enforcer")
    assert charts.violations(objects) == []
    kinds = {created["kind"] for created in objects}
    assert {"Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} <= kinds
    service = charts.only(objects, "Service", "enforcer")
    (port,) = service["spec"]["ports"]
    text = (EXAMPLES / path).read_text("utf-8")
    at_dns = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    by_reference = re.search(r"name: enforcer, (?:namespace: enforcer, )?port: (\d+)", text)
    assert at_dns in text or by_reference is not None
    assert re.search(rf"\b{port['port']}\b", text)
    assert (port.get("appProtocol") == "kubernetes.io/h2c") == (LISTED[path] == "envoy-grpc")
    configuration = tmp_path / "config.yaml"
    data = charts.only(objects, "ConfigMap", "enforcer")["data"]["config.yaml"]
    configuration.write_text(data.replace("/etc/enforcer-credentials", str(tmp_path)))
    for name in ("client-id", "client-secret"):
        (tmp_path / name).write_text("value")
    config = load(configuration, {}).config
    assert config.upstream is None
    assert [(listener.address, listener.contract) for listener in config.decision] == [(":8092", LISTED[path])]


def test_the_chart_accepts_the_values_of_the_page() -> None:
    """Together with the common values."""
    section = yaml.safe_load(PAGE.rpartition("```yaml\n")[2].partition("```")[0])
    values = charts.merged(documents(VALUES / "common.yaml")[0], section)
    assert charts.refusal(values) == ""
    assert len(charts.only(charts.objects(values), "Service", "enforcer")["spec"]["ports"]) == 2


def test_the_first_configuration_of_the_page_is_valid() -> None:
    """As a section of a configuration."""
    section = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
    from enforcer.settings.decision import DecisionListener

    (listener,) = TypeAdapter(tuple[DecisionListener, ...]).validate_python(section["decision"])
    assert listener.contract == "nginx"
