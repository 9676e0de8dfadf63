"""Command line, webhook, chart and kustomize agree on a pod: the first decides, and the second changes nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.kubernetes.charts import objects as rendered_chart
from harness.kubernetes.charts import only
from harness.kubernetes.manifests import Object, container, service

from enforcer.kubernetes import names
from enforcer.kubernetes.carried_options import default_settings
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.pod.pod_template import Context
from enforcer.kubernetes.inject.report import Result as ReportResult
from enforcer.kubernetes.inject.workload_pass import Options
from enforcer.kubernetes.settings import Settings, with_values
from enforcer.kubernetes.sidecar import Mode, Resources
from enforcer.kubernetes.webhook.admission import Admission, Result

ROOT = Path(__file__).parents[2]
PACKAGE = "0.1.0"
VERSION = (1, 33)
LABELS = {"app": "app", names.INJECT: "enabled"}


def bare(*ports: Object, **spec: Any) -> Object:
    """Return a labelled pod that nothing has touched."""
    app = {**container("app", *ports), "image": "app:1"}
    metadata = {"name": "app", "labels": LABELS}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [app], **spec}}


def by_command_line(
    pod: Object, settings: Settings | None = None, others: tuple[Object, ...] = (), **options: Any
) -> Object:
    """Return a pod as `enforcer inject` leaves it."""
    wanted = {
        "settings": settings or default_settings(PACKAGE),
        "package": PACKAGE,
        "version": VERSION,
        "by": "cli",
        **options,
    }
    outcome = inject_all([pod, *others], Options(**wanted))
    assert not outcome.has(ReportResult.REFUSED), outcome.report
    assert outcome.objects[0] is not None
    return outcome.objects[0]


def by_webhook(pod: Object) -> Object:
    """Return a pod as the webhook leaves it, in a labelled namespace."""
    context = Context(version=VERSION, package=PACKAGE, by="webhook")
    namespace = {"metadata": {"name": "shop", "labels": {names.INJECT: "enabled"}}}
    decision = Admission(settings=default_settings(PACKAGE), context=context).decide(pod, namespace)
    assert decision.result is not Result.DENIED, decision.message
    assert decision.pod is not None
    return decision.pod


def by_chart(_: Object) -> Object:
    """Return a pod as the example of the library chart writes it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "country-app"
        shutil.copytree(ROOT / "helm" / "examples" / "country-app", folder)
        shutil.copytree(ROOT / "helm" / "enforcer-lib", folder / "charts" / "enforcer-lib")
        return pod_of(only(rendered_chart({"kubeVersion": "1.33"}, folder), "Deployment"))


def by_kustomize(component: str) -> Callable[[Object], Object]:
    """Return a function that returns a pod as a kustomize component writes it."""

    def write(_: Object) -> Object:
        path = ROOT / "tests" / "kustomize" / "rendered" / f"{component}-component.yaml"
        return pod_of(only(list(yaml.safe_load_all(path.read_text("utf-8"))), "Deployment"))

    return write


def pod_of(workload: Object) -> Object:
    template = workload["spec"]["template"]
    labels = {**template["metadata"].get("labels", {}), **LABELS}
    metadata = {**template["metadata"], "name": "app", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def settings(**more: Any) -> Settings:
    default = default_settings(PACKAGE)
    return Settings(**{"image": default.image, **more})


TOKEN = with_values(default_settings(PACKAGE), {"serviceAccountToken.audience": "auth"}).service_account_token
NUMERIC = service(8080)


def of_protocol(name: str) -> Object:
    """Return a Service that says which protocol the app speaks."""
    entry = {"port": 80, "targetPort": "http", "appProtocol": name}
    return {**service(), "spec": {**service()["spec"], "ports": [entry]}}


OPTIONS: dict[str, Callable[[Object], Object]] = {
    "defaults": by_command_line,
    "loopback": lambda pod: by_command_line(
        pod, settings(mode=Mode.LOOPBACK, app_env={"HOST": "127.0.0.1"}, app_args=("--host=127.0.0.1",))
    ),
    "loopback, classic": lambda pod: by_command_line(pod, settings(mode=Mode.LOOPBACK, native=False)),
    "transparent": lambda pod: by_command_line(pod, settings(mode=Mode.TRANSPARENT, scrape_passthrough=True)),
    "old version": lambda pod: by_command_line(pod, version=(1, 29)),
    "names": lambda pod: by_command_line(pod, settings(policy="rules", policy_key="a.yaml", credentials="client")),
    "ports": lambda pod: by_command_line(pod, settings(listen_port=16000, admin_port=16001, port=8080)),
    "sidecar": lambda pod: by_command_line(
        pod,
        settings(
            log_level="debug",
            log_format="json",
            drain_seconds=60,
            wait_before_exit_seconds=0,
            user=None,
            upstream_scheme="https",
            resources=Resources(cpu_limit="1"),
            config={"cache.ttl": '"30s"'},
            rewrite_probes=False,
            network_policy=False,
            monitoring_namespace="m",
            service_account_token=TOKEN,
        ),
    ),
    "policy": lambda pod: by_command_line(pod, policy={"config.yaml": "rules: []"}),
    "Service by number": lambda pod: by_command_line(
        {**pod, "spec": {"containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}]}},
        others=(NUMERIC,),
    ),
    "Service of gRPC": lambda pod: by_command_line(pod, others=(of_protocol("grpc"),)),
    "Service of HTTPS": lambda pod: by_command_line(pod, others=(of_protocol("https"),)),
    "webhook": by_webhook,
    "chart": by_chart,
    "kustomize, port": by_kustomize("sidecar"),
    "kustomize, loopback": by_kustomize("loopback"),
}


def without_author(pod: Object) -> Object:
    copy = deepcopy(pod)
    copy["metadata"].get("annotations", {}).pop(names.INJECTED_BY, None)
    return copy


@pytest.mark.parametrize("second", [by_command_line, by_webhook])
@pytest.mark.parametrize("first", OPTIONS)
def test_the_second_program_changes_nothing(first: str, second: Callable[[Object], Object]) -> None:
    """All pairs of programs, whichever came first, with whatever options."""
    pod = OPTIONS[first](bare())
    assert without_author(second(deepcopy(pod))) == without_author(pod)


def test_the_webhook_leaves_a_pod_to_its_author() -> None:
    """It has no patch for a pod that it would inject in the same way."""
    pod = by_command_line(bare())
    assert by_webhook(pod) is pod


def test_an_option_of_this_run_replaces_one_of_a_former_run() -> None:
    """Also if it is the default: a name in `explicit` says that it was given."""
    pod = by_command_line(bare(), settings(mode=Mode.LOOPBACK, log_level="debug"))
    again = by_command_line(pod, settings(), explicit=frozenset({"mode"}))
    assert json.loads(again["metadata"]["annotations"][names.STATUS])["options"] == {"log-level": "debug"}
    assert by_command_line(bare(), settings(log_level="debug")) == again


@pytest.mark.parametrize(
    "options", [{"image": "evil/token-enforcer:1"}, {"container-patch": '[{"op":"remove","path":"/livenessProbe"}]'}]
)
def test_locked_options_of_a_pod_do_not_apply(options: dict[str, str]) -> None:
    """A pod can have any status; the platform's settings apply."""
    expected = by_webhook(bare())
    pod = by_command_line(bare())
    status = json.loads(pod["metadata"]["annotations"][names.STATUS])
    pod["metadata"]["annotations"][names.STATUS] = json.dumps({**status, "options": options})
    assert without_author(by_webhook(pod)) == without_author(expected)


@pytest.mark.parametrize("options", [{"config": '{"mode":"report"}'}, {"nonsense": "1"}, {"mode": "off"}])
def test_options_that_a_pod_may_not_have_are_refused(options: dict[str, str]) -> None:
    """Report mode, and what no injection writes."""
    pod = by_command_line(bare())
    status = json.loads(pod["metadata"]["annotations"][names.STATUS])
    pod["metadata"]["annotations"][names.STATUS] = json.dumps({**status, "options": options})
    context = Context(version=VERSION, package=PACKAGE, by="webhook")
    decision = Admission(settings=default_settings(PACKAGE), context=context).decide(pod, {"metadata": {}})
    assert decision.result is Result.DENIED


def test_a_pod_with_another_program_in_the_place_of_the_enforcer_is_refused() -> None:
    """The image decides, not the name of the container."""
    pod = by_chart(bare())
    for each in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]:
        if each["name"] == "enforcer":
            each["image"] = "evil/token-enforcer:1"
    context = Context(version=VERSION, package=PACKAGE, by="webhook")
    decision = Admission(settings=default_settings(PACKAGE), context=context).decide(pod, {"metadata": {}})
    assert decision.result is Result.DENIED
