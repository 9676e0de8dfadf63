"""Properties of every injection, with generated manifests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy

import pytest
from harness.kubernetes.manifests import STYLES, bundles, commented, pod_spec, template, written
from harness.kubernetes.network_policies import client_in, may_reach
from harness.kubernetes.podsecurity import violations as pod_security
from harness.kubernetes.schemas import violations as schema
from harness.kubernetes.service_endpoints import resolved
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.check import check_all
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.prepare import prepare_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.inject.uninjector import uninject_all
from enforcer.kubernetes.inject.workload_pass import Options
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import workload_of
from enforcer.yamltext.documents import read
from enforcer.yamltext.objects import Object
from enforcer.yamltext.stream import Stream

VERSIONS = ((1, 29), (1, 31), (1, 32), (1, 37))
EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)


@st.composite
def options(draw: st.DrawFn, modes: Sequence[Mode] = tuple(Mode), fixes: bool = True) -> Options:
    """Draw options with one of these modes; `fixes` allows --fix-hpa."""
    return Options(
        settings=Settings(
            image="token-enforcer:1",
            mode=draw(st.sampled_from(modes)),
            native=draw(st.sampled_from([None, None, True, False])),
            app_env=draw(st.sampled_from([{}, {"HOST": "127.0.0.1"}])),
            app_args=draw(st.sampled_from([(), ("--host=127.0.0.1",)])),
            scrape_passthrough=draw(st.booleans()),
            network_policy=draw(st.sampled_from([None, True, False])),
            port=draw(st.sampled_from([None, 8080])),
            container="c0",
        ),
        version=draw(st.sampled_from(VERSIONS)),
        package="1",
        by="test",
        policy=draw(st.sampled_from([None, {"config.yaml": "rules: []\n"}])),
        force_service=draw(st.booleans()),
        fix_hpa=fixes and draw(st.booleans()),
    )


def stream(text: str) -> Stream:
    return Stream([*read("manifests.yaml", text)])


def injected(things: list[Object], wanted: Options) -> Outcome:
    """Inject; manifests that cannot be injected are the subject of other tests."""
    outcome = inject_all(things, wanted)
    note("\n".join(f"{line.name} {line.result} {line.detail}" for line in outcome.report))
    assume(outcome.has(Result.INJECTED))
    return outcome


def protected_port(thing: Object) -> int:
    """Return the protected port from the status annotation."""
    return int(json.loads(template(thing)["metadata"]["annotations"][names.STATUS])["port"])


def everything(outcome: Outcome) -> list[Object]:
    return [thing for thing in outcome.objects if thing is not None] + [thing for _, thing in outcome.added]


@EXAMPLES
@given(bundles(), options(), st.sampled_from([*STYLES]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_uninject_restores_the_input(
    things: list[Object], wanted: Options, style: str, line_break: str, ends: bool
) -> None:
    """Byte for byte, in every style and with any line breaks. A second injection changes nothing."""
    text = written(things, style).replace("\n", line_break)
    text = text if ends else text.removesuffix(line_break)
    before = stream(text)
    once = before.as_yaml(injected([*before.objects], wanted))
    again = stream(once)
    assert again.as_yaml(inject_all(again.objects, wanted)) == once
    assert again.as_yaml(uninject_all(again.objects)) == text


@EXAMPLES
@given(bundles(), options([Mode.PORT], fixes=False), st.sampled_from(["indented", "as kubectl"]), st.data())
def test_comments_stay(things: list[Object], wanted: Options, style: str, data: st.DataObject) -> None:
    """All comments survive, except those in a part that is replaced."""
    text = data.draw(commented(written(things, style)))
    before = stream(text)
    once = before.as_yaml(injected([*before.objects], wanted))
    assert once.count("#") >= text.count("#")
    again = stream(once)
    assert again.as_yaml(uninject_all(again.objects)) == text


@EXAMPLES
@given(bundles(), options())
def test_no_service_bypasses_the_enforcer(things: list[Object], wanted: Options) -> None:
    """A Service port that reached the protected port reaches the enforcer, on the target version and on later ones."""
    outcome = injected(things, wanted)
    (workload,) = [index for index, thing in enumerate(things) if workload_of(thing)]
    before, after = pod_spec(things[workload]), pod_spec(outcome.objects[workload] or {})
    protected = protected_port(outcome.objects[workload] or {})
    enforcer = 15080 if wanted.settings.mode is Mode.PORT else protected
    for thing, changed in zip(things, outcome.objects, strict=True):
        if thing["kind"] != "Service" or thing["spec"].get("selector") != {"app": "app"}:
            continue
        for port, changed_port in zip(thing["spec"]["ports"], (changed or {})["spec"]["ports"], strict=True):
            for version in (version for version in VERSIONS if version >= wanted.version):
                target = resolved(before, port, version)
                assert resolved(after, changed_port, version) == (enforcer if target == protected else target)


@EXAMPLES
@given(bundles(), options([Mode.PORT]))
def test_the_enforcer_takes_over_the_name_of_the_port(things: list[Object], wanted: Options) -> None:
    """In mode port, no other container has a port with a name of the enforcer's ports."""
    outcome = injected(things, wanted)
    for thing in everything(outcome):
        if workload_of(thing):
            spec = pod_spec(thing)
            containers = [*spec["containers"], *(spec.get("initContainers") or ())]
            sidecars = [container for container in containers if container["name"] == "enforcer"]
            apps = [container for container in containers if container["name"] != "enforcer"]
            ours = {port["name"] for container in sidecars for port in container["ports"]}
            others = [port.get("name") for container in apps for port in container.get("ports") or ()]
            assert ours.isdisjoint(others)
            assert all(len(name) <= 15 for name in others if name)


@EXAMPLES
@given(bundles(), options())
def test_a_network_policy_closes_only_the_app_port_of_injected_pods(things: list[Object], wanted: Options) -> None:
    """Pods that are not injected yet stay reachable, and only the monitoring namespace reaches the admin port.

    Clients that other policies keep from the app's port do not reach the enforcer's.
    """
    outcome = injected(things, wanted)
    others = [thing for thing in things if thing["kind"] == "NetworkPolicy"]
    named = [thing for thing in everything(outcome) if thing["metadata"]["name"] == "app-enforcer"]
    policies = [thing for thing in named if "spec" in thing]
    assume(policies)
    for thing in everything(outcome):
        if workload_of(thing):
            labels = template(thing)["metadata"]["labels"]
            former = {name: value for name, value in labels.items() if name != names.INJECTED}
            port = protected_port(thing)
            enforcer = 15080 if wanted.settings.mode is Mode.PORT else port
            client, namespace = client_in("default"), policies[0]["metadata"].get("namespace", "apps")
            reached = may_reach(others, former, port, client, namespace)
            assert may_reach(policies, labels, enforcer, client, namespace) == reached
            assert may_reach(policies, labels, port, client, namespace) == (reached and enforcer == port)
            assert not may_reach(policies, labels, 15081, client, namespace)
            assert may_reach(policies, labels, 15081, client_in("monitoring"), namespace)
            assert may_reach(policies, former, port, client, namespace)


@EXAMPLES
@given(bundles(), options())
def test_the_output_is_valid_in_every_version(things: list[Object], wanted: Options) -> None:
    """Strictly valid, and restricted by Pod Security except for the redirect of mode transparent."""
    outcome = injected(things, wanted)
    for thing in everything(outcome):
        if thing["kind"] != "HorizontalPodAutoscaler":
            assert list(schema(thing)) == []
        if workload_of(thing):
            ours = [violation for violation in pod_security(template(thing)) if violation.startswith("enforcer")]
            assert all(violation.startswith("enforcer-redirect: ") for violation in ours)
            assert bool(ours) == (wanted.settings.mode is Mode.TRANSPARENT)


@EXAMPLES
@given(bundles(), options())
def test_the_grace_period_is_never_shortened(things: list[Object], wanted: Options) -> None:
    """It is long enough for the wait, the drain and a margin."""
    outcome = injected(things, wanted)
    for thing, changed in zip(things, outcome.objects, strict=True):
        if workload_of(thing):
            former = pod_spec(thing).get("terminationGracePeriodSeconds", 30)
            assert pod_spec(changed or {}).get("terminationGracePeriodSeconds", 30) == max(former, 45)


@EXAMPLES
@given(bundles(), options())
def test_a_refused_workload_and_the_input_stay_unchanged(things: list[Object], wanted: Options) -> None:
    """A workload is either injected or unchanged. The input objects are never modified."""
    copy = deepcopy(things)
    outcome = inject_all(things, wanted)
    assert things == copy
    for thing, changed in zip(things, outcome.objects, strict=True):
        if workload_of(thing) and not outcome.has(Result.INJECTED):
            assert changed == thing
    assert outcome.has(Result.INJECTED) != outcome.has(Result.REFUSED, Result.SKIPPED)


@EXAMPLES
@given(bundles(), options())
def test_the_check_reports_workloads_without_protection(things: list[Object], wanted: Options) -> None:
    """Those without a sidecar, and those that a verification finds open, except by an option; and only these."""
    outcome = injected(things, wanted)
    after = everything(outcome)
    is_open = outcome.has(Result.WARNING) and any("clients can bypass" in line.detail for line in outcome.report)
    is_accepted = wanted.settings.network_policy is False
    assert check_all(after, wanted).has(Result.MISSING) == (is_open and not is_accepted)
    assert check_all(things, wanted).has(Result.MISSING)


@EXAMPLES
@given(bundles(), options([Mode.PORT]), st.sampled_from(VERSIONS))
def test_preparing_changes_no_traffic(things: list[Object], wanted: Options, version: tuple[int, int]) -> None:
    """Services resolve to the same ports, and the output can be injected without --force-service."""
    outcome = prepare_all(things, wanted)
    assume(not outcome.has(Result.REFUSED, Result.SKIPPED))
    (workload,) = [index for index, thing in enumerate(things) if workload_of(thing)]
    before, after = pod_spec(things[workload]), pod_spec(outcome.objects[workload] or {})
    for thing, changed in zip(things, outcome.objects, strict=True):
        if thing["kind"] == "Service":
            for port, changed_port in zip(thing["spec"]["ports"], (changed or {})["spec"]["ports"], strict=True):
                if thing["spec"].get("selector") == {"app": "app"}:
                    assert resolved(after, changed_port, version) == resolved(before, port, version)
    prepared = [thing for thing in outcome.objects if thing is not None]
    report = inject_all(prepared, wanted).report
    assert not [line for line in report if "by its number" in line.detail]


@pytest.mark.parametrize("style", STYLES)
def test_a_stream_is_the_sequence_of_its_documents(style: str) -> None:
    """Byte for byte."""
    text = written([{"a": 1}, {"b": [1, 2]}], style) + "---\n# nothing\n"
    assert "".join(document.text for document in read("f", text)) == text
