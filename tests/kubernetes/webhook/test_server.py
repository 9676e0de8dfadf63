"""The webhook as a process, with TLS and a stand-in for the API server."""

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
    """A webhook for all tests."""
    with webhook(server) as running:
        assert eventually(lambda: running.admin("/readyz").status_code == 200)
        yield running


def review(pod: Any = POD, **changes: Any) -> bytes:
    """Return a review as an API server sends it."""
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
    """Send a review, and return the response in the reply."""
    reply = running.review(content)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    document = reply.json()
    assert document["response"]["uid"] == "u-1"
    return dict(document["response"])


def counted(running: Webhook, result: str, reason: str) -> float:
    """Return the counter of a result and a reason."""
    line = f'enforcer_injector_admissions_total{{reason="{reason}",result="{result}"}} '
    (match,) = [text for text in running.admin("/metrics").text.splitlines() if text.startswith(line)]
    return float(match.removeprefix(line))


def test_a_labelled_pod_gets_the_sidecar(running: Webhook, server: ApiServer) -> None:
    """With the policy of its namespace, and an Event on its owner."""
    before = counted(running, "injected", "ok")
    result = response(running, review())
    assert (result["allowed"], result["patchType"]) == (True, "JSONPatch")
    created = patched(POD, json.loads(base64.b64decode(result["patch"])))
    assert created["spec"]["initContainers"][0]["name"] == names.CONTAINER
    assert {"name": names.POLICY_VOLUME, "configMap": {"name": "shared"}} in created["spec"]["volumes"]
    assert "one that uses the number 8080 bypasses the enforcer" in result["warnings"][-1]
    assert counted(running, "injected", "ok") == before + 1
    assert eventually(lambda: server.events)
    assert (server.events[0]["reason"], server.events[0]["involvedObject"]["uid"]) == ("EnforcerInjected", "17")


def test_an_injected_pod_stays_unchanged(running: Webhook) -> None:
    """The API server repeats the review if another webhook has changed the pod."""
    created = patched(POD, json.loads(base64.b64decode(response(running, review())["patch"])))
    assert "patch" not in response(running, review(created))


def test_a_pod_that_cannot_be_protected_is_denied(running: Webhook) -> None:
    """With a message."""
    labels = {**POD, "metadata": {**POD["metadata"], "annotations": {"enforcer.dev/mod": "port"}}}
    before = counted(running, "denied", "bad_setting")
    result = response(running, review(labels))
    assert result["allowed"] is False
    assert result["status"]["code"] == 403
    assert 'enforcer.dev/mod is unknown; did you mean "enforcer.dev/mode"?' in result["status"]["message"]
    assert counted(running, "denied", "bad_setting") == before + 1


def test_a_pod_is_denied_if_its_namespace_cannot_be_read(running: Webhook, server: ApiServer) -> None:
    """The annotations of the namespace may matter."""
    server.failures = [(503, "starting")]
    result = response(running, review())
    assert result["allowed"] is False
    assert "namespace apps could not be read; try again" in result["status"]["message"]
    assert counted(running, "error", "namespace_unavailable") == 1


def test_a_malformed_pod_is_not_allowed(running: Webhook) -> None:
    """No API server would send it, but it must not be allowed."""
    spec = {"containers": [{"name": "app", "ports": [{"containerPort": 8080}], "lifecycle": [], "env": 7}]}
    result = response(running, review({**POD, "spec": {**spec, "terminationGracePeriodSeconds": "long"}}))
    assert result["allowed"] is False
    assert "patch" not in result


@pytest.mark.parametrize("content", [b"junk", review(operation="UPDATE"), b" " * (8 * 1024 * 1024 + 1)])
def test_an_invalid_review_gets_400(running: Webhook, content: bytes) -> None:
    """An API server treats this as a failure, and the failure policy is Fail."""
    assert running.review(content).status_code == 400


def test_the_webhooks_port_serves_only_reviews(running: Webhook) -> None:
    """Metrics and health are served on another port."""
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{running.port}/metrics", trust_env=False).raise_for_status()
    assert running.admin("/inject").status_code == 404
    assert running.admin("/livez").status_code == 200


def test_the_metrics_contain_the_expiry_of_certificates(running: Webhook) -> None:
    """In seconds since 1970."""
    text = running.admin("/metrics").text
    for name in ("authority", "certificate"):
        assert f'enforcer_injector_certificate_not_after_timestamp_seconds{{certificate="{name}"}} 1.' in text


def test_a_webhook_without_a_certificate_is_alive_and_not_ready(server: ApiServer) -> None:
    """It retries until it has one, and can be stopped meanwhile."""
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


def test_a_provided_certificate_is_used(server: ApiServer, tmp_path: Any) -> None:
    """Neither the Secret nor the webhook configuration is read, so that no permission for them is needed."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue(HOST)
    server.calls.clear()
    with webhook(server, ("--tls-certificate", str(certificate), "--tls-key", str(key))) as running:
        assert eventually(lambda: running.admin("/readyz").status_code == 200)
        with httpx.Client(verify=authority.client_context(), trust_env=False) as client:
            url = f"https://127.0.0.1:{running.port}/inject"
            assert client.post(url, content=review(), extensions={"sni_hostname": HOST}).status_code == 200
    assert not [call for call in server.calls if "/secrets/" in call or "webhookconfigurations" in call]
