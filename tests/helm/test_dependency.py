"""The chart as a dependency of another chart, with the values and templates of that chart."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from harness.kubernetes.charts import ENFORCER, Object, merged, objects, only, read, values

PARENT = """\
apiVersion: v2
name: shop
version: 1.0.0
dependencies: [{name: enforcer, version: 0.x, condition: enforcer.enabled}]
"""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that depends on this one, after `helm dependency build`."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(PARENT)
    shutil.copytree(ENFORCER, folder / "charts" / "enforcer")
    return folder


def faults(parent: Path, parent_values: dict[str, Any]) -> list[str]:
    """Return the errors of `helm lint`, which checks the values of all charts by their schemas."""
    report = helm_python.lint(parent, parent_values, namespace="apps")
    return [message["error"] for message in report["messages"] if message["severity"] > 1]


def rendered(parent: Path, parent_values: dict[str, Any]) -> list[Object]:
    """Check and render the parent chart."""
    assert faults(parent, parent_values) == []
    texts = helm_python.Chart.load(parent).render(parent_values, name="shop", namespace="apps")
    return [thing for path, text in texts.items() if not path.endswith("NOTES.txt") for thing in read(text)]


def test_a_parent_chart_shares_its_global_values(parent: Path) -> None:
    """Also those that this chart does not know."""
    shared = {"imageRegistry": "r.example.org", "imagePullSecrets": ["pull"], "class": "fast", "tenant": {"a": 1}}
    things = rendered(parent, {"global": shared, "enforcer": {**values("minimal"), "enabled": True}})
    pod = only(things, "Deployment", "shop-enforcer")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"].startswith("r.example.org/token-enforcer:")
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_a_parent_chart_may_disable_the_chart(parent: Path) -> None:
    """By the condition in its Chart.yaml."""
    texts = helm_python.Chart.load(parent).render({"enforcer": {"enabled": False}}, name="shop", namespace="apps")
    assert texts == {}


def test_a_parent_charts_typo_is_refused(parent: Path) -> None:
    """Only `global` is open, and its values that this chart knows have types."""
    (fault,) = faults(parent, {"enforcer": {**values("minimal"), "upstreem": {}}})
    assert "upstreem" in fault
    (fault,) = faults(parent, {"global": {"imageRegistry": 7}, "enforcer": values("minimal")})
    assert "/global/imageRegistry" in fault


TEMPLATES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"upstream": {"url": "http://{{ .Release.Name }}-app:8080"}},
        "ConfigMap/enforcer",
        "url: http://enforcer-app:8080",
    ),
    ({"introspection": {"url": "http://{{ .Release.Name }}-auth/i"}}, "ConfigMap/enforcer", "http://enforcer-auth/i"),
    ({"introspection": {"audience": ["{{ .Release.Name }}-aud"]}}, "ConfigMap/enforcer", "- enforcer-aud"),
    (
        {"introspection": {"clientSecret": "", "existingSecret": "{{ .Release.Name }}-client"}},
        "Deployment",
        "secretName: enforcer-client",
    ),
    ({"existingConfigMap": "{{ .Release.Name }}-policy"}, "Deployment", "name: enforcer-policy"),
    ({"existingPolicyConfigMap": "{{ .Release.Name }}-rules"}, "Deployment", "name: enforcer-rules"),
    ({"imagePullSecrets": ["{{ .Release.Name }}-pull"]}, "Deployment", "name: enforcer-pull"),
    ({"podAnnotations": {"a": "{{ .Release.Namespace }}-b"}}, "Deployment", "a: apps-b"),
    ({"commonLabels": {"a": "{{ .Release.Namespace }}-b"}}, "Service/enforcer", "a: apps-b"),
    ({"extraEnv": [{"name": "A", "value": "{{ .Release.Namespace }}-b"}]}, "Deployment", "value: apps-b"),
    ({"extraArgs": ['--set=log.level={{ .Values.level | default "debug" }}']}, "Deployment", "log.level=debug"),
    ({"extraContainers": [{"name": "a", "image": "{{ .Release.Namespace }}-b"}]}, "Deployment", "image: apps-b"),
    ({"nodeSelector": {"a": "{{ .Release.Namespace }}-b"}}, "Deployment", "a: apps-b"),
    ({"serviceAccount": {"name": "{{ .Release.Name }}-a"}}, "Deployment", "serviceAccountName: enforcer-a"),
    (
        {"ingress": {"enabled": True, "hosts": [{"host": "{{ .Release.Name }}.example.org"}]}},
        "Ingress",
        "host: enforcer.example.org",
    ),
    (
        {
            "networkPolicy": {
                "enabled": True,
                "ingress": {"from": [{"podSelector": {"matchLabels": {"a": "{{ .Release.Name }}-b"}}}]},
            }
        },
        "NetworkPolicy",
        "a: enforcer-b",
    ),
]


@pytest.mark.parametrize(
    ("change", "place", "expected"),
    TEMPLATES,
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_templates_in_values_are_expanded(change: dict[str, Any], place: str, expected: str) -> None:
    """A parent chart names its own objects by them."""
    kind, _, name = place.partition("/")
    assert expected in yaml.safe_dump(only(objects(merged(values("minimal"), change)), kind, name or None))


def test_rules_are_no_templates() -> None:
    """A rule means what it says, braces included."""
    rule = {"name": "{{ .Release.Name }}", "path": "/**", "public": True}
    config = only(objects(merged(values("minimal"), {"policy": {"rules": [rule]}})), "ConfigMap", "enforcer")
    assert "name: '{{ .Release.Name }}'" in config["data"]["config.yaml"]
