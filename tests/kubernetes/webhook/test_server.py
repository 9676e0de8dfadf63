"""The webhook as a process, with TLS and a stand-in for the API server."""

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.certificates import Authority
from harness.kubernetes.apiserver import ApiServer, api_server
from harness.kubernetes.webhooks import CONFIGURATION, HOST, OPTIONS, SECRET, Webhook, furnish, webhook
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
    assert eventually(lambda: counted(running, "injected", "ok") == before + 1)
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
    assert eventually(lambda: counted(running, "denied", "bad_setting") == before + 1)


def annotated(annotations: dict[str, str]) -> bytes:
    """Return the review of a pod with annotations."""
    return review({**POD, "metadata": {**POD["metadata"], "annotations": annotations}})


def test_a_locked_annotation_denies_the_pod(running: Webhook) -> None:
    """The message names the annotation, and who forbids it."""
    result = response(running, annotated({"enforcer.dev/image": "nginx", "enforcer.dev/config": "{mode: report}"}))
    assert result["allowed"] is False
    assert result["status"]["message"] == (
        "enforcer.dev/image: pods may not set it; the platform forbids it (injector.allowedAnnotations of the chart); "
        "enforcer.dev/config: pods may not set report mode; the policy may"
    )


def test_the_platform_locks_annotations_and_report_mode(server: ApiServer) -> None:
    """The sidecar itself refuses a policy in report mode, which the webhook does not see."""
    with webhook(server, (*OPTIONS, "--allowed-annotations=policy", "--set=allowReportMode=false")) as running:
        assert eventually(lambda: running.admin("/readyz").status_code == 200)
        denied = response(running, annotated({"enforcer.dev/mode": "loopback"}))
        assert "enforcer.dev/mode: pods may not set it" in denied["status"]["message"]
        created = patched(POD, json.loads(base64.b64decode(response(running, review())["patch"])))
        assert "--set=allow_report_mode=false" in created["spec"]["initContainers"][0]["args"]


def test_a_pod_is_denied_if_its_namespace_cannot_be_read(running: Webhook, server: ApiServer) -> None:
    """The annotations of the namespace may matter."""
    server.failures = [(503, "starting")]
    result = response(running, review())
    assert result["allowed"] is False
    assert "namespace apps could not be read; try again" in result["status"]["message"]
    assert eventually(lambda: counted(running, "error", "namespace_unavailable") == 1)


def test_a_malformed_pod_is_not_allowed(running: Webhook) -> None:
    """No API server would send it, but it must not be allowed."""
    spec = {"containers": [{"name": "app", "ports": [{"containerPort": 8080}], "lifecycle": [], "env": 7}]}
    result = response(running, review({**POD, "spec": {**spec, "terminationGracePeriodSeconds": "long"}}))
    assert result["allowed"] is False
    assert "patch" not in result


@pytest.mark.parametrize(
    ("content", "status"), [(b"junk", 400), (review(operation="UPDATE"), 400), (b" " * (3 * 1024 * 1024 + 1), 413)]
)
def test_an_invalid_review_is_refused(running: Webhook, content: bytes, status: int) -> None:
    """An API server treats this as a failure, and the failure policy is Fail."""
    assert running.review(content).status_code == status


def test_the_webhooks_port_serves_only_reviews(running: Webhook) -> None:
    """Metrics and health are served on another port."""
    assert running.review(b"", "/metrics").status_code == 403
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


def test_a_provided_certificate_is_used(server: ApiServer, tmp_path: Path) -> None:
    """The caBundle is left to its provider."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue(HOST)

    def configured() -> dict[str, Any]:
        return dict(server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"])

    former = configured()
    provided = {**former, "caBundle": text(authority.ca)}
    server.put(CONFIGURATION, webhooks=[{"name": "pods", "clientConfig": provided}])
    try:
        with webhook(server, (*OPTIONS, "--tls-certificate", str(certificate), "--tls-key", str(key))) as running:
            assert eventually(lambda: running.admin("/readyz").status_code == 200)
            assert running.review(review()).status_code == 200
            assert configured()["caBundle"] == text(authority.ca)
    finally:
        server.put(CONFIGURATION, webhooks=[{"name": "pods", "clientConfig": former}])


def text(certificate: Path) -> str:
    """Return a certificate as a caBundle."""
    return base64.b64encode(certificate.read_bytes()).decode()


def test_client_certificates_authenticate_api_servers(server: ApiServer, tmp_path: Path) -> None:
    """Without them the handshake fails. Then no permission for the Secret and the configuration is needed."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue(HOST)
    files = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    clients = ("--client-ca", str(authority.ca), "--client-name", "apiserver")
    server.calls.clear()
    with webhook(server, (*files, *clients)) as running:
        assert eventually(lambda: running.admin("/readyz").status_code == 200)

        def send(name: str | None) -> int:
            context = authority.client_context()
            if name is not None:
                context.load_cert_chain(*authority.issue(name))
            with httpx.Client(verify=context, trust_env=False) as client:
                url = f"https://127.0.0.1:{running.port}/inject"
                return client.post(url, content=review(), extensions={"sni_hostname": HOST}).status_code

        assert send("apiserver") == 200
        for stranger in (None, "other"):
            with pytest.raises(httpx.HTTPError):
                send(stranger)
    assert not [call for call in server.calls if "/secrets/" in call or "webhookconfigurations" in call]


@pytest.mark.parametrize("path", ["/inject", "/", "/inject/00000000000000000000000000000000"])
def test_only_api_servers_can_have_pods_reviewed(running: Webhook, server: ApiServer, path: str) -> None:
    """Another client does not know the path. It causes neither an Event nor a call of the API server."""
    server.calls.clear()
    forged = {**POD, "metadata": {**POD["metadata"], "ownerReferences": [{**OWNER, "uid": "forged"}]}}
    reply = running.review(review(forged), path)
    assert (reply.status_code, reply.content) == (403, b"")
    assert response(running, review())["allowed"] is True
    assert [call for call in server.calls if call.startswith("GET")] == ["GET /api/v1/namespaces/apps"]
    assert [event for event in server.events if event["involvedObject"]["uid"] == "forged"] == []


def test_a_stranger_is_refused_before_its_body_is_read(running: Webhook) -> None:
    """And the connection ends, so that it must begin again."""
    head = b"POST /inject HTTP/1.1\r\nHost: injector\r\nContent-Length: 3000000\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", running.port)) as raw,
        running.context().wrap_socket(raw, server_hostname=HOST) as secured,
    ):
        secured.sendall(head)
        refusal = b"".join(iter(lambda: secured.recv(4096), b""))
    assert refusal.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"Connection: close" in refusal


def test_refusals_are_counted_and_logged_once_a_minute(server: ApiServer) -> None:
    """Strangers must not fill the log."""
    with webhook(server) as running:
        assert eventually(lambda: running.admin("/readyz").status_code == 200)
        for _ in range(5):
            running.review(b"", "/inject")
        series = 'enforcer_injector_refusals_total{listener="reviews",reason="unauthenticated"} 5.0'
        assert eventually(lambda: series in running.admin("/metrics").text)
        assert eventually(lambda: "unauthenticated" in running.log())
        assert running.log().count("unauthenticated") == 1


def test_values_of_a_pod_cannot_forge_log_lines(running: Webhook) -> None:
    """They are escaped in log lines, Events and responses."""
    forged = "x\n2026-11-30 00:00:00,000 INFO forged\x1b[31m"
    pod = {
        **POD,
        "metadata": {**POD["metadata"], "generateName": forged, "annotations": {f"enforcer.dev/{forged}": ""}},
    }
    message = response(running, review(pod))["status"]["message"]
    assert r"x\n2026-11-30" in message
    assert eventually(lambda: r"apps/x\n2026-11-30" in running.log())
    assert not [line for line in running.log().splitlines() if line.startswith("2026-11-30 00:00:00") or "\x1b" in line]
