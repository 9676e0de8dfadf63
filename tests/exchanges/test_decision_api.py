"""The decision API as a process: its listeners beside the proxy's or without it, TLS, reload and the end."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.clients import Client, Response
from harness.configs import TOKENS, config
from harness.processes import enforcer
from harness.servers import Server, introspection_server
from harness.signing import key, proof
from harness.upstreams import PeerClosedError
from harness.usage import metric
from harness.waiting import TIMEOUT, eventually

LOCAL = {"address": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1"]}
KEY = key("ES256", 1)
ALL = [*TOKENS.items(), ("bound", {"scope": "read", "cnf": {"jkt": KEY.thumbprint()}})]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with introspection_server(dict(ALL)) as running:
        yield running


def text(server: Server, *listeners: dict[str, Any], **changes: Any) -> str:
    return config("http://127.0.0.1:1", server.port, upstream=None, decision=listeners, **changes)


def ask(client: Client, target: str = "/thing", *fields: tuple[str, str], method: str = "GET") -> Response:
    """Ask as nginx does."""
    own = [("X-Original-Method", method), ("X-Original-URI", target), ("X-Forwarded-For", "192.0.2.7")]
    return client.request("GET", "/decide", [*own, *fields])


def test_without_an_upstream_only_decisions_are_served(server: Server) -> None:
    """Each listener has its contract, all share one cache, and the proxy's listener is not opened."""
    listeners = [{**LOCAL, "contract": "nginx"}, {**LOCAL, "contract": "request"}]
    with enforcer(text(server, *listeners)) as process:
        assert process.port == 0
        ports = process.decision_ports
        before = len(server.lookups)
        with Client(ports["nginx"]) as client:
            answers = [ask(client), ask(client, "/public/x"), ask(client, "/public/../thing")]
        with Client(ports["request"]) as client:
            answers.append(client.request("GET", "/thing"))
        assert [answer.status for answer in answers] == [200, 200, 400, 200]
        assert answers[0].values("X-Auth-Subject") == [b"alice"]
        assert len(server.lookups) == before + 1
        name = "enforcer_decision_api_requests_total"
        assert metric(process, f'{name}{{door="nginx",result="allow"}}') == 2
        assert metric(process, f'{name}{{door="request",result="allow"}}') == 1


def test_a_dpop_proof_is_for_the_clients_own_url(server: Server) -> None:
    """Scheme, host and path are those of the contract, not of the connection to the decision API."""
    listener = {**LOCAL, "contract": "forwarded"}
    origins = {"origins": ["https://api.example.org"]}
    with enforcer(text(server, listener, dpop=origins)) as process:
        fields = [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/thing?a=b")]
        fields += [("X-Forwarded-Host", "api.example.org"), ("X-Forwarded-Proto", "https")]

        def status(url: str, method: str = "GET") -> int:
            shown = proof(KEY, "bound", method, url)
            with Client(process.decision_ports["forwarded"], token=None) as client:
                credentials = [("Authorization", "DPoP bound"), ("DPoP", shown)]
                return client.request("GET", "/", [*fields, *credentials]).status

        assert status("https://api.example.org/thing") == 200
        assert status("http://api.example.org/thing") == 401
        assert status("https://api.example.org/") == 401
        assert status("https://api.example.org/thing", "POST") == 401


def test_a_caller_is_known_by_its_certificate(server: Server, tmp_path: Path) -> None:
    """TLS refuses all others before a request."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    certificate, private = authority.issue("localhost")
    files = {"certificate": str(certificate), "key": str(private), "client_ca": str(authority.ca)}
    listener = {"address": "127.0.0.1:0", "contract": "nginx", "tls": files}
    with enforcer(text(server, listener)) as process:
        for issuer, accepted in ((authority, True), (other, False)):
            context = authority.client_context()
            context.load_cert_chain(*issuer.issue("gateway"))
            try:
                with Client(process.decision_ports["nginx"], tls=context) as client:
                    assert ask(client).status == 200
            except (ssl.SSLError, ConnectionError, PeerClosedError):
                assert not accepted
            else:
                assert accepted


def test_a_reload_changes_contract_and_callers_and_not_the_number_of_listeners(server: Server) -> None:
    """Open connections have the new settings with their next request; a new address needs a restart."""
    with enforcer(text(server, {**LOCAL, "contract": "nginx"})) as process:
        with Client(process.decision_ports["nginx"]) as client:
            assert ask(client).status == 200
            changed = {**LOCAL, "contract": "nginx", "trusted_proxies": ["192.0.2.1"]}
            more = {**LOCAL, "contract": "request"}
            process.config.write_text(text(server, changed, more))
            assert eventually(lambda: ask(client).status == 403)
        assert eventually(lambda: "decision: 127.0.0.1:0, 127.0.0.1:0 takes effect after a restart" in process.log())


def test_decisions_are_drained_like_requests(server: Server) -> None:
    """SIGTERM: the process serves on for the delay, announces the end of connections, and ends."""
    with (
        enforcer(text(server, {**LOCAL, "contract": "nginx"}, timeouts={"shutdown_delay": "60s"})) as process,
        Client(process.decision_ports["nginx"]) as client,
    ):
        assert ask(client).values("Connection") == []
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: metric(process, "enforcer_draining") == 1)
        answer = ask(client)
        assert (answer.status, answer.values("Connection")) == (200, [b"close"])
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(TIMEOUT) == 0
