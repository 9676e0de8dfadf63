"""The webhook as a process, by TLS, before an API server that keeps its objects."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness.certificates import Authority
from harness.kubernetes.apiserver import ApiServer, api_server
from harness.kubernetes.webhooks import HOST, SECRET, Webhook, furnish, webhook
from harness.waiting import eventually

from enforcer.kubernetes import names
from enforcer.yamltext.json_diff import patched

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-5d8f", "uid": "17", "controller": True}
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "generateName": "app-5d8f-",
        "labels": {names.INJECT: "enabled", "pod-template-hash": "5d8f"},
        "ownerReferences": [OWNER],
    },
    "spec": {"containers": [{"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]}]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A cluster with a namespace."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        furnish(server)
        server.put("/api/v1/namespaces/apps", metadata={"annotations": {"enforcer.dev/policy": "shared"}})
        yield server


@pytest.fixture(scope="module")
def running(server: ApiServer) -> Iterator[Webhook]:
    """One webhook for all."""
    with webhook(server) as running:
        assert eventually(lambda: running.admin("/readyz").status_code == 200)
        yield running


def review(pod: Any = POD, **changes: Any) -> bytes:
    """Write what an API server sends."""
    request = {
        "uid": "u-1",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "apps",
        "object": pod,
        "dryRun": False,
        **changes,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def response(running: Webhook, content: bytes) -> dict[str, Any]:
    """Return what the webhook makes of a review."""
    answer = running.review(content)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["response"]["uid"] == "u-1"
    return dict(document["response"])


def counted(running: Webhook, result: str, reason: str) -> float:
    """Return how often a result came for a reason."""
    line = f'enforcer_injector_admissions_total{{reason="{reason}",result="{result}"}} '
    (found,) = [text for text in running.admin("/metrics").text.splitlines() if text.startswith(line)]
    return float(found.removeprefix(line))


def test_a_pod_that_asks_gets_the_sidecar(running: Webhook, server: ApiServer) -> None:
    """With its namespace's policy, and an Event on what makes it."""
    before = counted(running, "injected", "ok")
    given = response(running, review())
    assert (given["allowed"], given["patchType"]) == (True, "JSONPatch")
    created = patched(POD, json.loads(base64.b64decode(given["patch"])))
    assert created["spec"]["initContainers"][0]["name"] == names.CONTAINER
    assert {"name": names.POLICY_VOLUME, "configMap": {"name": "shared"}} in created["spec"]["volumes"]
    assert "one that uses the number 8080 bypasses the enforcer" in given["warnings"][-1]
    assert counted(running, "injected", "ok") == before + 1
    assert eventually(lambda: server.events)
    assert (server.events[0]["reason"], server.events[0]["involvedObject"]["uid"]) == ("EnforcerInjected", "17")


def test_what_comes_back_is_let_through_as_it_is(running: Webhook) -> None:
    """The API server asks again where another webhook has changed the pod."""
    created = patched(POD, json.loads(base64.b64decode(response(running, review())["patch"])))
    assert "patch" not in response(running, review(created))


def test_a_pod_that_cannot_be_protected_is_denied(running: Webhook) -> None:
    """With a word on what is wrong."""
    labels = {**POD, "metadata": {**POD["metadata"], "annotations": {"enforcer.dev/mod": "port"}}}
    before = counted(running, "denied", "bad_setting")
    given = response(running, review(labels))
    assert given["allowed"] is False
    assert given["status"]["code"] == 403
    assert 'enforcer.dev/mod is unknown; did you mean "enforcer.dev/mode"?' in given["status"]["message"]
    assert counted(running, "denied", "bad_setting") == before + 1


def test_without_the_namespaces_defaults_nothing_is_created(running: Webhook, server: ApiServer) -> None:
    """They might say more than nothing."""
    server.failures = [(503, "starting")]
    given = response(running, review())
    assert given["allowed"] is False
    assert "namespace apps could not be read; try again" in given["status"]["message"]
    assert counted(running, "error", "namespace_unavailable") == 1


def test_what_cannot_be_judged_is_not_created(running: Webhook) -> None:
    """A malformed pod that no API server would send is not allowed."""
    spec = {"containers": [{"name": "app", "ports": [{"containerPort": 8080}], "lifecycle": [], "env": 7}]}
    given = response(running, review({**POD, "spec": {**spec, "terminationGracePeriodSeconds": "long"}}))
    assert given["allowed"] is False
    assert "patch" not in given


@pytest.mark.parametrize("content", [b"junk", review(operation="UPDATE"), b" " * (8 * 1024 * 1024 + 1)])
def test_what_is_no_review_has_no_answer(running: Webhook, content: bytes) -> None:
    """An API server takes that for a failure, and the failure policy is Fail."""
    assert running.review(content).status_code == 400


def test_nothing_but_reviews_is_answered_there(running: Webhook) -> None:
    """Metrics and health have a port of their own."""
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{running.port}/metrics", trust_env=False).raise_for_status()
    assert running.admin("/inject").status_code == 404
    assert running.admin("/livez").status_code == 200


def test_the_metrics_tell_when_certificates_end(running: Webhook) -> None:
    """In seconds since 1970."""
    text = running.admin("/metrics").text
    for name in ("authority", "certificate"):
        assert f'enforcer_injector_certificate_not_after_timestamp_seconds{{certificate="{name}"}} 1.' in text


def test_a_webhook_without_a_certificate_is_alive_and_not_ready(server: ApiServer) -> None:
    """It tries until there is one; a stop is heard meanwhile."""
    secret = server.objects.pop(SECRET)
    try:
        with webhook(server) as running:
            assert eventually(lambda: "404" in running.log())
            assert running.admin("/livez").status_code == 200
            assert running.admin("/readyz").status_code == 503
            server.objects[SECRET] = secret
            assert eventually(lambda: running.admin("/readyz").status_code == 200)
            assert response(running, review())["allowed"] is True
            assert running.stop() == 0
    finally:
        server.objects[SECRET] = secret


def test_a_provided_certificate_is_shown(server: ApiServer, tmp_path: Any) -> None:
    """Neither Secret nor webhook configuration is looked at, so that no right to them is needed."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue(HOST)
    server.calls.clear()
    with webhook(server, ("--tls-certificate", str(certificate), "--tls-key", str(key))) as running:
        assert eventually(lambda: running.admin("/readyz").status_code == 200)
        with httpx.Client(verify=authority.client_context(), trust_env=False) as client:
            url = f"https://127.0.0.1:{running.port}/inject"
            assert client.post(url, content=review(), extensions={"sni_hostname": HOST}).status_code == 200
    assert not [call for call in server.calls if "/secrets/" in call or "webhookconfigurations" in call]
