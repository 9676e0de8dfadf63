"""The client of the API server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.kubernetes.apiserver import ApiServer, api_server

from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server for all tests."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        yield server


@pytest.fixture
def server(shared: ApiServer) -> ApiServer:
    """A server with one namespace."""
    shared.clear()
    shared.put("/api/v1/namespaces/apps", kind="Namespace")
    return shared


def call(server: ApiServer, request: Callable[[Cluster], Awaitable[Any]], account: Path | None = None) -> Any:
    """Send one request."""

    async def run() -> Any:
        cluster = Cluster(server.url, account or server.account)
        try:
            return await request(cluster)
        finally:
            await cluster.close()

    return asyncio.run(run())


def test_the_version_is_parsed(server: ApiServer) -> None:
    """Some clusters append a plus sign to the minor version."""
    assert call(server, lambda cluster: cluster.version()) == (1, 34)


def test_an_object_is_returned(server: ApiServer) -> None:
    """As parsed JSON."""
    assert call(server, lambda cluster: cluster.namespace("apps"))["kind"] == "Namespace"


def test_an_error_has_the_request_the_status_and_the_message(server: ApiServer) -> None:
    """With the API server's own message."""
    with pytest.raises(ClusterError) as caught:
        call(server, lambda cluster: cluster.namespace("other"))
    path = "/api/v1/namespaces/other"
    assert (str(caught.value), caught.value.status) == (f"GET {path}: 404 {path} not found", 404)


def test_the_token_is_read_for_each_request(server: ApiServer, tmp_path: Path) -> None:
    """The kubelet replaces the file long before the token expires."""
    (tmp_path / "ca.crt").write_bytes((server.account / "ca.crt").read_bytes())
    (tmp_path / "token").write_text("ended")

    async def twice(cluster: Cluster) -> Any:
        with pytest.raises(ClusterError, match="401"):
            await cluster.namespace("apps")
        (tmp_path / "token").write_bytes((server.account / "token").read_bytes())
        return await cluster.namespace("apps")

    assert call(server, twice, tmp_path)["kind"] == "Namespace"


def test_a_missing_token_file_is_an_error(server: ApiServer, tmp_path: Path) -> None:
    """No request is sent."""
    (tmp_path / "ca.crt").write_bytes((server.account / "ca.crt").read_bytes())
    with pytest.raises(ClusterError, match=f"no token can be read from {tmp_path}/token"):
        call(server, lambda cluster: cluster.namespace("apps"), tmp_path)
    assert server.calls == []


def test_a_server_with_an_untrusted_certificate_gets_no_request(server: ApiServer, tmp_path: Path) -> None:
    """It does not get the token."""
    (tmp_path / "token").write_text("secret")
    (tmp_path / "ca.crt").write_bytes(Authority(tmp_path, "other").ca.read_bytes())
    with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        call(server, lambda cluster: cluster.namespace("apps"), tmp_path)
    assert caught.value.status == 0
    assert server.calls == []


def test_a_call_has_one_timeout(server: ApiServer) -> None:
    """However often a byte of the response arrives."""
    server.put("/api/v1/namespaces/slow", kind="Namespace")
    server.pause = 0.2
    try:
        with pytest.raises(ClusterError, match="no response within 2 s"):
            call(server, lambda cluster: cluster.namespace("slow"))
    finally:
        server.pause = 0.0


def test_a_response_has_a_maximum_size(server: ApiServer) -> None:
    """A larger one is an error."""
    server.put("/api/v1/namespaces/large", data="x" * (4 * 1024 * 1024))
    with pytest.raises(ClusterError, match="more than 4194304 bytes"):
        call(server, lambda cluster: cluster.namespace("large"))
