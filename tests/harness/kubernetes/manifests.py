"""Manifests for tests: some to begin with, and any that hypothesis can think of, in any style."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from hypothesis import strategies as st

Object = dict[str, Any]


def deployment(*containers: Object, name: str = "app", **spec: Any) -> Object:
    """Make a Deployment of these containers, which are completed by an image."""
    labels = {"app": name}
    made = [{"image": f"{one['name']}:1", **one} for one in containers or (container(),)]
    template = {"metadata": {"labels": labels}, "spec": {"containers": made, **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def container(name: str = "app", *ports: Object, **more: Any) -> Object:
    """Make a container, with a port 8080 that is called http unless others are named."""
    return {"name": name, "ports": list(ports or ({"name": "http", "containerPort": 8080},)), **more}


def service(target: str | int | None = "http", *, name: str = "app", selects: str = "app", **spec: Any) -> Object:
    """Make a Service for port 80; a target of None is left out."""
    port: Object = {"port": 80} if target is None else {"port": 80, "targetPort": target}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": selects}, "ports": [port], **spec},
    }


def template(workload: Object) -> Object:
    """Return the template of a workload's pods."""
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec.get("template", workload)


def pod_spec(workload: Object) -> Object:
    """Return the specification of a workload's pods."""
    return template(workload)["spec"]


def find(things: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the one object of a kind, or of a kind and name."""
    (found,) = [one for one in things if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


PORT_NAMES = ("http", "web", "metrics", "a-very-long-one")
_NUMBERS = (80, 3000, 8080, 8443, 9090)
_WORDS = st.sampled_from(["a", "b c", "true", "8080", "#x", "x: y", '{"json": [1]}', "it's", "é", "", "$(X)", "a\tb"])


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def _containers(draw: st.DrawFn) -> list[Object]:
    """One to three containers, whose ports have numbers and names of their own in the pod."""
    numbers = draw(st.lists(st.sampled_from(_NUMBERS), unique=True, min_size=1, max_size=4))
    names = draw(st.permutations([*PORT_NAMES, None, None]))
    ports = [
        {**({"name": name} if name else {}), "containerPort": number, **draw(_optional(protocol=st.just("TCP")))}
        for number, name in zip(numbers, names, strict=False)
    ]
    count = draw(st.integers(1, 3))
    made = []
    for at in range(count):
        own = ports[at::count]
        known = [value for port in own for value in (port.get("name"), port["containerPort"]) if value]
        more = draw(_rest(known or [8080]))
        made.append({"name": f"c{at}", "image": "app:1", **({"ports": own} if own else {}), **more})
    return made


def _rest(ports: list[Any]) -> st.SearchStrategy[Object]:
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
        env=env.filter(lambda found: len({one["name"] for one in found}) == len(found)),
        args=st.lists(_WORDS, max_size=2),
    )


_STAYING = {"name": "stays", "image": "log:1", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 8080}}}

_SPECS = _optional(
    initContainers=st.sampled_from([[], [{"name": "first", "image": "init:1"}], [_STAYING]]),
    volumes=st.sampled_from([[], [{"name": "data", "emptyDir": {}}]]),
    terminationGracePeriodSeconds=st.sampled_from([0, 10, 60]),
    serviceAccountName=st.just("app"),
)
_ANNOTATIONS = st.one_of(
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
    """Any workload, called app."""
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
    more = {"serviceName": "app"} if kind == "StatefulSet" else {}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {**more, **selector, "template": pod}}


def _services() -> st.SearchStrategy[list[Object]]:
    target = st.sampled_from([None, *PORT_NAMES, *_NUMBERS])
    port = st.tuples(st.sampled_from([80, 8080, 9090]), target).map(
        lambda pair: {"port": pair[0], **({} if pair[1] is None else {"targetPort": pair[1]})}
    )
    ports = st.lists(port, min_size=1, max_size=2, unique_by=lambda one: one["port"]).map(
        lambda found: [{"name": f"p{at}", **one} for at, one in enumerate(found)]
    )
    spec = st.fixed_dictionaries(
        {"ports": ports},
        optional={"selector": st.sampled_from([{"app": "app"}, {"app": "other"}]), "clusterIP": st.just("None")},
    )
    metadata = st.sampled_from([{}, {"annotations": {}}, {"annotations": {"a": "b"}}])
    made = st.tuples(metadata, spec).map(
        lambda pair: {"apiVersion": "v1", "kind": "Service", "metadata": pair[0], "spec": pair[1]}
    )
    return st.lists(made, max_size=2).map(
        lambda found: [{**one, "metadata": {"name": f"s{at}", **one["metadata"]}} for at, one in enumerate(found)]
    )


_OTHERS: list[Object] = [
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "app"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "maxReplicas": 3,
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}},
            ],
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
    """A workload, what leads to it, and what has nothing to do with it, in any order."""
    others = draw(st.lists(st.sampled_from(_OTHERS), max_size=2, unique_by=lambda one: one["kind"]))
    return draw(st.permutations([draw(workloads()), *draw(_services()), *others]))


class _Indented(yaml.SafeDumper):
    """Indents lists in mappings, as people do; kubectl does not."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Flush(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumper(kind: type[yaml.SafeDumper]) -> Callable[[Object], str]:
    return lambda value: yaml.dump(value, Dumper=kind, sort_keys=False, width=10_000, allow_unicode=True)


STYLES: Mapping[str, Callable[[Object], str]] = {
    "indented": _dumper(_Indented),
    "as kubectl": _dumper(_Flush),
    "JSON": lambda value: json.dumps(value, indent=4) + "\n",
    "JSON on one line": lambda value: json.dumps(value, ensure_ascii=False) + "\n",
}


def written(things: list[Object], style: str) -> str:
    """Write objects in a style, as documents of a stream."""
    return "---\n".join(map(STYLES[style], things))


@st.composite
def commented(draw: st.DrawFn, text: str) -> str:
    """Any text with comments on lines of their own and at the ends of others."""
    lines = []
    for line in text.splitlines():
        if draw(st.integers(0, 9)) == 0:
            lines.append(f"{' ' * draw(st.integers(0, 8))}# a comment")
        end = draw(st.integers(0, 9)) == 0 and line and not line.endswith("|")
        lines.append(f"{line} # why" if end else line)
    return "".join(f"{line}\n" for line in lines)
