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
    """Generated options with these modes; `fixes` allows --fix-hpa."""
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
    """Inject; what cannot be is another test's."""
    outcome = inject_all(things, wanted)
    note("\n".join(f"{line.name} {line.result} {line.detail}" for line in outcome.report))
    assume(outcome.has(Result.INJECTED))
    return outcome


def protected(thing: Object) -> int:
    """Return the protected port, as the status has it."""
    return int(json.loads(template(thing)["metadata"]["annotations"][names.STATUS])["port"])


def everything(outcome: Outcome) -> list[Object]:
    return [one for one in outcome.objects if one is not None] + [one for _, one in outcome.added]


@EXAMPLES
@given(bundles(), options(), st.sampled_from([*STYLES]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_was_injected_comes_out_as_it_went_in_to_the_byte(
    things: list[Object], wanted: Options, style: str, line_break: str, ends: bool
) -> None:
    """In every style, with any line ends; and injecting twice is injecting once."""
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
    """All of them, if no part that contains them is replaced."""
    text = data.draw(commented(written(things, style)))
    before = stream(text)
    once = before.as_yaml(injected([*before.objects], wanted))
    assert once.count("#") >= text.count("#")
    again = stream(once)
    assert again.as_yaml(uninject_all(again.objects)) == text


@EXAMPLES
@given(bundles(), options())
def test_nobody_is_led_past_the_enforcer(things: list[Object], wanted: Options) -> None:
    """Each Service that led to the app leads to the enforcer, on the version that it is for and on later ones."""
    outcome = injected(things, wanted)
    (at,) = [at for at, thing in enumerate(things) if workload_of(thing)]
    before, after = pod_spec(things[at]), pod_spec(outcome.objects[at] or {})
    port = protected(outcome.objects[at] or {})
    through = 15080 if wanted.settings.mode is Mode.PORT else port
    for place, thing in enumerate(things):
        if thing["kind"] != "Service" or thing["spec"].get("selector") != {"app": "app"}:
            continue
        now = outcome.objects[place] or {}
        for one, other in zip(thing["spec"]["ports"], now["spec"]["ports"], strict=True):
            for version in (version for version in VERSIONS if version >= wanted.version):
                led = resolved(before, one, version)
                assert resolved(after, other, version) == (through if led == port else led)


@EXAMPLES
@given(bundles(), options([Mode.PORT]))
def test_the_name_of_the_port_is_not_left_at_the_app(things: list[Object], wanted: Options) -> None:
    """In mode port, no other container has one of the enforcer's."""
    outcome = injected(things, wanted)
    for thing in everything(outcome):
        if workload_of(thing):
            spec = pod_spec(thing)
            every = [*spec["containers"], *(spec.get("initContainers") or ())]
            ours = {port["name"] for one in every if one["name"] == "enforcer" for port in one["ports"]}
            others = [port.get("name") for one in every if one["name"] != "enforcer" for port in one.get("ports") or ()]
            assert ours.isdisjoint(others)
            assert all(len(name) <= 15 for name in others if name)


@EXAMPLES
@given(bundles(), options())
def test_a_network_policy_closes_the_apps_port_of_injected_pods_alone(things: list[Object], wanted: Options) -> None:
    """Pods that are not injected yet are reached as before, and metrics from where they are watched."""
    outcome = injected(things, wanted)
    policies = [one for one in everything(outcome) if one["metadata"]["name"] == "app-enforcer" and "spec" in one]
    assume(policies)
    for thing in everything(outcome):
        if workload_of(thing):
            labels = template(thing)["metadata"]["labels"]
            former = {name: value for name, value in labels.items() if name != names.INJECTED}
            port = protected(thing)
            through = 15080 if wanted.settings.mode is Mode.PORT else port
            client, namespace = client_in("default"), policies[0]["metadata"].get("namespace", "apps")
            assert may_reach(policies, labels, through, client, namespace)
            assert may_reach(policies, labels, port, client, namespace) == (through == port)
            assert not may_reach(policies, labels, 15081, client, namespace)
            assert may_reach(policies, labels, 15081, client_in("monitoring"), namespace)
            assert may_reach(policies, former, port, client, namespace)


@EXAMPLES
@given(bundles(), options())
def test_what_is_written_is_valid_in_every_version(things: list[Object], wanted: Options) -> None:
    """Strictly, and passes Pod Security where it did before; the redirect of mode transparent is the exception."""
    outcome = injected(things, wanted)
    for thing in everything(outcome):
        if thing["kind"] != "HorizontalPodAutoscaler":
            assert list(schema(thing)) == []
        if workload_of(thing):
            ours = [one for one in pod_security(template(thing)) if one.startswith("enforcer")]
            assert all(one.startswith("enforcer-redirect: ") for one in ours)
            assert bool(ours) == (wanted.settings.mode is Mode.TRANSPARENT)


@EXAMPLES
@given(bundles(), options())
def test_no_grace_is_shortened_and_all_of_it_suffices(things: list[Object], wanted: Options) -> None:
    """For the wait, the drain and a margin."""
    outcome = injected(things, wanted)
    for thing, now in zip(things, outcome.objects, strict=True):
        if workload_of(thing):
            former = pod_spec(thing).get("terminationGracePeriodSeconds", 30)
            assert pod_spec(now or {}).get("terminationGracePeriodSeconds", 30) == max(former, 45)


@EXAMPLES
@given(bundles(), options())
def test_what_is_refused_is_left_alone_and_what_is_given_is_not_changed(things: list[Object], wanted: Options) -> None:
    """A workload is injected or as it was, and the objects that came in are as they were in any case."""
    copy = deepcopy(things)
    outcome = inject_all(things, wanted)
    assert things == copy
    for thing, now in zip(things, outcome.objects, strict=True):
        if workload_of(thing) and not outcome.has(Result.INJECTED):
            assert now == thing
    assert outcome.has(Result.INJECTED) != outcome.has(Result.REFUSED, Result.SKIPPED)


@EXAMPLES
@given(bundles(), options())
def test_the_check_finds_what_is_not_injected(things: list[Object], wanted: Options) -> None:
    """And nothing else."""
    outcome = injected(things, wanted)
    assert not check_all(everything(outcome), wanted).has(Result.MISSING)
    assert check_all(things, wanted).has(Result.MISSING)


@EXAMPLES
@given(bundles(), options([Mode.PORT]), st.sampled_from(VERSIONS))
def test_preparing_changes_nothing_that_anybody_sees(
    things: list[Object], wanted: Options, version: tuple[int, int]
) -> None:
    """Services lead where they led, and then it can be injected without force."""
    outcome = prepare_all(things, wanted)
    assume(not outcome.has(Result.REFUSED, Result.SKIPPED))
    (at,) = [at for at, thing in enumerate(things) if workload_of(thing)]
    for thing, now in zip(things, outcome.objects, strict=True):
        if thing["kind"] == "Service":
            for one, other in zip(thing["spec"]["ports"], (now or {})["spec"]["ports"], strict=True):
                led = resolved(pod_spec(things[at]), one, version)
                if thing["spec"].get("selector") == {"app": "app"}:
                    assert resolved(pod_spec(outcome.objects[at] or {}), other, version) == led
    prepared = [one for one in outcome.objects if one is not None]
    report = inject_all(prepared, wanted).report
    assert not [line for line in report if "by its number" in line.detail]


@pytest.mark.parametrize("style", STYLES)
def test_a_stream_is_its_documents(style: str) -> None:
    """To the byte."""
    text = written([{"a": 1}, {"b": [1, 2]}], style) + "---\n# nothing\n"
    assert "".join(one.text for one in read("f", text)) == text
