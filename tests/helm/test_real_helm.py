"""Helm itself, if it is installed (or named by HELM), renders what the tests render, and runs the post-renderer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.kubernetes.charts import CI, ENFORCER, Object, objects, read, values

HELM = os.environ.get("HELM") or shutil.which("helm") or ""
pytestmark = pytest.mark.skipif(not HELM, reason="Helm is not installed")

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{name: http, containerPort: 8080%s}]}]}
"""


def helm(*arguments: str | Path) -> str:
    """Run Helm; raises CalledProcessError."""
    command = [HELM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def by_identity(things: list[Object]) -> dict[tuple[str, str], Object]:
    return {(thing["kind"], thing["metadata"]["name"]): thing for thing in things}


@pytest.mark.parametrize("name", CI)
def test_helm_renders_the_objects_of_the_tests(name: str) -> None:
    """With every file of example values, which Helm's linter accepts, too."""
    helm("lint", "--strict", ENFORCER, "-f", CI[name])
    rendered = helm("template", "enforcer", ENFORCER, "-n", "apps", "--kube-version", "1.33.0", "-f", CI[name])
    assert by_identity([*read(rendered)]) == by_identity(objects(values(name)))


def test_the_linter_accepts_the_default_values() -> None:
    """Required values are reported, and are not errors of the chart."""
    assert "0 chart(s) failed" in helm("lint", ENFORCER)


of_helm_3 = pytest.mark.skipif(
    not (HELM and helm("version", "--short").startswith("v3")), reason="Helm 4 takes a plugin as post-renderer"
)


def chart(folder: Path, port: str = "") -> Path:
    """Write a chart with one Deployment."""
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: web, version: 0.1.0}")
    (folder / "templates" / "app.yaml").write_text(APP % port)
    return folder


def post_rendered(folder: Path) -> str:
    """Render a chart through `enforcer inject -`, with the arguments that docs/kubernetes.md has for Helm 3."""
    program = Path(sys.executable).with_name("enforcer")
    words = ["--post-renderer-args", "inject", "--post-renderer-args", "-"]
    return helm("template", "web", folder, "--post-renderer", program, *words)


@of_helm_3
def test_a_post_renderer_injects_a_chart(tmp_path: Path) -> None:
    """The example of the documentation."""
    (deployment, policy) = sorted(read(post_rendered(chart(tmp_path))), key=lambda thing: str(thing["kind"]))
    assert (deployment["kind"], policy["kind"]) == ("Deployment", "NetworkPolicy")
    assert deployment["spec"]["template"]["metadata"]["labels"]["enforcer.dev/injected"] == "true"


@of_helm_3
def test_a_refused_workload_fails_the_installation(tmp_path: Path) -> None:
    """With the report in the error."""
    with pytest.raises(subprocess.CalledProcessError) as error:
        post_rendered(chart(tmp_path, ", hostPort: 80"))
    assert "refused     hostPort 80" in error.value.stderr
