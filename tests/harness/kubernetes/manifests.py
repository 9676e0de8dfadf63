"""Manifests for tests: simple ones, and hypothesis strategies for arbitrary ones in several YAML and JSON styles."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from hypothesis import strategies as st

Object = dict[str, Any]


def deployment(*containers: Object, name: str = "app", **spec: Any) -> Object:
    """Return a Deployment of these containers, each with an image."""
    labels = {"app": name}
    with_images = [{"image": f"{entry['name']}:1", **entry} for entry in containers or (container(),)]
    template = {"metadata": {"labels": labels}, "spec": {"containers": with_images, **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def container(name: str = "app", *ports: Object, **more: Any) -> Object:
    """Return a container; default: one port, `http` 8080."""
    return {"name": name, "ports": list(ports or ({"name": "http", "containerPort": 8080},)), **more}


def service(target: str | int | None = "http", *, name: str = "app", selects: str = "app", **spec: Any) -> Object:
    """Return a Service for port 80; with `target` None, it has no target port."""
    port: Object = {"port": 80} if target is None else {"port": 80, "targetPort": target}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": selects}, "ports": [port], **spec},
    }


def template(workload: Object) -> Object:
    """Return the pod template of a workload."""
    spec = workload["spec"]
    is_cron_job = workload["kind"] == "CronJob"
    pod: Object = spec["jobTemplate"]["spec"]["template"] if is_cron_job else spec.get("template", workload)
    return pod


def pod_spec(workload: Object) -> Object:
    """Return the pod specification of a workload."""
    spec: Object = template(workload)["spec"]
    return spec


def find(things: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the only object of a kind, or of a kind and name."""
    (match,) = [thing for thing in things if thing["kind"] == kind and name in (None, thing["metadata"]["name"])]
    return match


PORT_NAMES = ("http", "web", "metrics", "a-very-long-one")
_NUMBERS = (80, 3000, 8080, 8443, 9090)
_WORDS = st.sampled_from(["a", "b c", "true", "8080", "#x", "x: y", '{"json": [1]}', "it's", "é", "", "$(X)", "a\tb"])


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def _containers(draw: st.DrawFn) -> list[Object]:
    """Draw one to three containers whose ports have numbers and names unique in the pod."""
    numbers = draw(st.lists(st.sampled_from(_NUMBERS), unique=True, min_size=1, max_size=4))
    names = draw(st.permutations([*PORT_NAMES, None, None]))
    ports = [
        {**({"name": name} if name else {}), "containerPort": number, **draw(_optional(protocol=st.just("TCP")))}
        for number, name in zip(numbers, names, strict=False)
    ]
    count = draw(st.integers(1, 3))
    containers = []
    for index in range(count):
        own = ports[index::count]
        references = [value for port in own for value in (port.get("name"), port["containerPort"]) if value]
        rest = draw(_optional_fields(references or [8080]))
        containers.append({"name": f"c{index}", "image": "app:1", **({"ports": own} if own else {}), **rest})
    return containers


def _optional_fields(ports: list[Any]) -> st.SearchStrategy[Object]:
    port = st.sampled_from(ports)
    http = st.fixed_dictionaries(
        {"port": port},
        optional={
            "path": st.just("/health"),
            "scheme": st.sampled_from(["HTTP", "HTTPS"]),
            "httpHeaders": st.just([{"name": "Host", "value": "app"}]),
        },
    )
    action = st.one_of(
        http.map(lambda value: {"httpGet": value}),
        port.map(lambda value: {"tcpSocket": {"port": value}}),
        st.just({"grpc": {"port": 8080}}),
        st.just({"exec": {"command": ["true"]}}),
    )
    probe = st.tuples(action, _optional(timeoutSeconds=st.integers(1, 9), periodSeconds=st.just(5))).map(
        lambda pair: {**pair[0], **pair[1]}
    )
    hook = st.one_of(http.map(lambda value: {"httpGet": value}), st.just({"exec": {"command": ["true"]}}))
    env = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["HOST", "A"]), "value": _WORDS}), max_size=2)
    return _optional(
        livenessProbe=probe,
        readinessProbe=probe,
        startupProbe=probe,
        lifecycle=st.one_of(st.just({}), _optional(preStop=hook, postStart=hook)),
        env=env.filter(lambda entries: len({entry["name"] for entry in entries}) == len(entries)),
        args=st.lists(_WORDS, max_size=2),
    )


_NATIVE_SIDECAR = {
    "name": "stays",
    "image": "log:1",
    "restartPolicy": "Always",
    "startupProbe": {"tcpSocket": {"port": 8080}},
}

_SPECS = _optional(
    initContainers=st.sampled_from([[], [{"name": "first", "image": "init:1"}], [_NATIVE_SIDECAR]]),
    volumes=st.sampled_from([[], [{"name": "data", "emptyDir": {}}]]),
    terminationGracePeriodSeconds=st.sampled_from([0, 10, 60]),
    serviceAccountName=st.just("app"),
)
_ANNOTATIONS: st.SearchStrategy[Any] = st.one_of(
    st.just({}),
    st.just(None),
    _optional(
        **{
            "prometheus.io/port": st.sampled_from(["8080", "9090"]),
            "prometheus.io/path": st.just("/stats"),
            "kubectl.kubernetes.io/default-container": st.just("c0"),
            "note": _WORDS,
        }
    ),
)


@st.composite
def workloads(draw: st.DrawFn) -> Object:
    """Draw a workload named app."""
    containers = draw(_containers())
    labels = {"app": "app", **draw(_optional(tier=st.just("web")))}
    pod: Object = {"metadata": {"labels": labels}, "spec": {"containers": containers, **draw(_SPECS)}}
    if draw(st.booleans()):
        pod["metadata"]["annotations"] = draw(_ANNOTATIONS)
    kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod"]))
    metadata: Object = {"name": "app", **draw(_optional(namespace=st.just("web")))}
    selector = {"selector": {"matchLabels": {"app": "app"}}}
    match kind:
        case "Pod":
            metadata["labels"] = labels
            return {"apiVersion": "v1", "kind": kind, **pod, "metadata": {**metadata, **pod["metadata"]}}
        case "Job":
            pod["spec"]["restartPolicy"] = "Never"
            return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": {"template": pod}}
        case "CronJob":
            pod["spec"]["restartPolicy"] = "OnFailure"
            spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": pod}}}
            return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}
    service_name = {"serviceName": "app"} if kind == "StatefulSet" else {}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {**service_name, **selector, "template": pod},
    }


def _services() -> st.SearchStrategy[list[Object]]:
    target = st.sampled_from([None, *PORT_NAMES, *_NUMBERS])
    port = st.tuples(st.sampled_from([80, 8080, 9090]), target).map(
        lambda pair: {"port": pair[0], **({} if pair[1] is None else {"targetPort": pair[1]})}
    )
    ports = st.lists(port, min_size=1, max_size=2, unique_by=lambda entry: entry["port"]).map(
        lambda entries: [{"name": f"p{index}", **entry} for index, entry in enumerate(entries)]
    )
    spec = st.fixed_dictionaries(
        {"ports": ports},
        optional={"selector": st.sampled_from([{"app": "app"}, {"app": "other"}]), "clusterIP": st.just("None")},
    )
    metadata: st.SearchStrategy[Object] = st.sampled_from([{}, {"annotations": {}}, {"annotations": {"a": "b"}}])
    services: st.SearchStrategy[Object] = st.tuples(metadata, spec).map(
        lambda pair: {"apiVersion": "v1", "kind": "Service", "metadata": pair[0], "spec": pair[1]}
    )
    return st.lists(services, max_size=2).map(
        lambda drawn: [
            {**entry, "metadata": {"name": f"s{index}", **entry["metadata"]}} for index, entry in enumerate(drawn)
        ]
    )


_OTHERS: list[Object] = [
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "app"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}],
        },
    },
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "other"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 8080}]}]},
    },
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}, "data": {"a": "b"}},
]


@st.composite
def bundles(draw: st.DrawFn) -> list[Object]:
    """Draw a workload, Services that may select it, and unrelated objects, in any order."""
    others = draw(st.lists(st.sampled_from(_OTHERS), max_size=2, unique_by=lambda entry: entry["kind"]))
    return draw(st.permutations([draw(workloads()), *draw(_services()), *others]))


class _Indented(yaml.SafeDumper):
    """Indents lists in mappings, as people do and kubectl does not."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _NotIndented(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumper(kind: type[yaml.SafeDumper]) -> Callable[[Object], str]:
    return lambda value: yaml.dump(value, Dumper=kind, sort_keys=False, width=10_000, allow_unicode=True)


STYLES: Mapping[str, Callable[[Object], str]] = {
    "indented": _dumper(_Indented),
    "as kubectl": _dumper(_NotIndented),
    "JSON": lambda value: json.dumps(value, indent=4) + "\n",
    "JSON on one line": lambda value: json.dumps(value, ensure_ascii=False) + "\n",
}


def written(things: list[Object], style: str) -> str:
    """Return objects as a YAML stream in a style."""
    return "---\n".join(map(STYLES[style], things))


@st.composite
def commented(draw: st.DrawFn, text: str) -> str:
    """Draw the text with comments on lines of their own and at the ends of lines."""
    lines = []
    for line in text.splitlines():
        if draw(st.integers(0, 9)) == 0:
            lines.append(f"{' ' * draw(st.integers(0, 8))}# a comment")
        end = draw(st.integers(0, 9)) == 0 and line and not line.endswith("|")
        lines.append(f"{line} # why" if end else line)
    return "".join(f"{line}\n" for line in lines)
