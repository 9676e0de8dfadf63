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
    """One server for all."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        yield server


@pytest.fixture
def server(shared: ApiServer) -> ApiServer:
    """A server with one namespace."""
    shared.clear()
    shared.put("/api/v1/namespaces/apps", kind="Namespace")
    return shared


def call(server: ApiServer, what: Callable[[Cluster], Awaitable[Any]], account: Path | None = None) -> Any:
    """Make one call."""

    async def run() -> Any:
        cluster = Cluster(server.url, account or server.account)
        try:
            return await what(cluster)
        finally:
            await cluster.close()

    return asyncio.run(run())


def test_the_version_is_that_of_the_cluster(server: ApiServer) -> None:
    """Some write a plus behind it."""
    assert call(server, lambda cluster: cluster.version()) == (1, 34)


def test_an_object_is_returned_as_it_is(server: ApiServer) -> None:
    """In the types of JSON."""
    assert call(server, lambda cluster: cluster.namespace("apps"))["kind"] == "Namespace"


def test_a_refusal_tells_call_status_and_why(server: ApiServer) -> None:
    """In the API server's own words."""
    with pytest.raises(ClusterError) as caught:
        call(server, lambda cluster: cluster.namespace("other"))
    path = "/api/v1/namespaces/other"
    assert (str(caught.value), caught.value.status) == (f"GET {path}: 404 {path} not found", 404)


def test_the_token_is_read_for_each_call(server: ApiServer, tmp_path: Path) -> None:
    """The kubelet exchanges it long before it ends."""
    (tmp_path / "ca.crt").write_bytes((server.account / "ca.crt").read_bytes())
    (tmp_path / "token").write_text("ended")

    async def twice(cluster: Cluster) -> Any:
        with pytest.raises(ClusterError, match="401"):
            await cluster.namespace("apps")
        (tmp_path / "token").write_bytes((server.account / "token").read_bytes())
        return await cluster.namespace("apps")

    assert call(server, twice, tmp_path)["kind"] == "Namespace"


def test_a_token_that_is_not_there_is_told_by_its_file(server: ApiServer, tmp_path: Path) -> None:
    """And nobody is called."""
    (tmp_path / "ca.crt").write_bytes((server.account / "ca.crt").read_bytes())
    with pytest.raises(ClusterError, match=f"no token can be read from {tmp_path}/token"):
        call(server, lambda cluster: cluster.namespace("apps"), tmp_path)
    assert server.calls == []


def test_a_server_of_another_authority_is_not_spoken_to(server: ApiServer, tmp_path: Path) -> None:
    """It gets no token."""
    (tmp_path / "token").write_text("secret")
    (tmp_path / "ca.crt").write_bytes(Authority(tmp_path, "other").ca.read_bytes())
    with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        call(server, lambda cluster: cluster.namespace("apps"), tmp_path)
    assert caught.value.status == 0
    assert server.calls == []


def test_an_answer_has_an_end(server: ApiServer) -> None:
    """For every sender."""
    server.put("/api/v1/namespaces/large", data="x" * (4 * 1024 * 1024))
    with pytest.raises(ClusterError, match="more than 4194304 bytes"):
        call(server, lambda cluster: cluster.namespace("large"))
