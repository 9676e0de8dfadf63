"""`enforcer doctor --front-proxy` with real gateways: the shipped examples are right, and faults in them are found.

`make gateways` runs them; those that are not installed are skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness.configs import config
from harness.ports import unused_ports

from enforcer.cli import main
from gateways.gateway import GATEWAYS, Gateway, program

pytestmark = pytest.mark.skipif("GATEWAYS" not in os.environ, reason="run by `make gateways`")

DENIALS = (
    "lua.auth-intercept enforcer / HEAD * x-auth-* www-authenticate,retry-after,cache-control,x-request-id\n"
    "  http-request deny deny_status 503 unless { var(txn.auth_response_successful) -m bool }"
)
"""Both lines of the example that refuse a request."""
BY_NAME = {gateway.name: gateway for gateway in GATEWAYS}


def examine(gateway: Gateway, folder: Path, change: Callable[[str], str] = str) -> dict[str, str]:
    """Return the checks that failed, with their results; warnings included."""
    if gateway.program is None:
        pytest.skip(f"{gateway.name} is not installed")
    decision, app = unused_ports(2)
    listener = {"address": f"127.0.0.1:{decision}", "contract": gateway.contract, "trusted_proxies": ["127.0.0.1"]}
    path = folder / "config.yaml"
    path.write_text(config("", 1, upstream=None, decision=[listener]))
    with program(gateway, folder, decision, app, change) as port:
        runner = CliRunner(env={"ENFORCER_CLIENT_SECRET": "secret"})
        options = ["--front-proxy", f"http://127.0.0.1:{port}/api", "--echo", f"127.0.0.1:{app}", "--json"]
        result = runner.invoke(main, ["doctor", *options, str(path)])
    (report,) = json.loads(result.stdout)["servers"]
    faults = {each["what"]: each["verdict"] for each in report["findings"] if each["verdict"] != "right"}
    assert result.exit_code == ("wrong" in faults.values()), result.output
    return faults


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
def test_the_shipped_example_has_no_fault(gateway: Gateway, tmp_path: Path) -> None:
    """Envoy takes a 503 for an error of its own over HTTP, and answers without Retry-After."""
    expected = {"outage": "warning"} if gateway.name == "envoy-http" else {}
    assert examine(gateway, tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "right", "wrong", "expected"),
    [
        # A URI part, of which even a slash is one, makes nginx decode and clean the path.
        ("nginx", "proxy_pass http://app;", "proxy_pass http://app/;", {"rewritten after the question": "wrong"}),
        (
            "nginx",
            "proxy_set_header X-Auth-Subject $enforcer_subject;",
            "",
            {"X-Auth-Subject": "wrong", "x-auth-subject": "wrong"},
        ),
        (
            # Of the two actions of the script, this one leaves the denial to the configuration.
            "haproxy",
            DENIALS,
            "lua.auth-request enforcer /",
            dict.fromkeys(["open", "without a token", "outage", "no answer"], "wrong"),
        ),
        ("caddy", "reverse_proxy", "uri strip_prefix /api\n\treverse_proxy", {"rewritten after the question": "wrong"}),
        (
            "envoy-http",
            "failure_mode_allow: false",
            "failure_mode_allow: true",
            {"outage": "wrong", "no answer": "wrong"},
        ),
        ("envoy-http", "- {prefix: x-, ignore_case: true}", "", {"other targets": "wrong", "outage": "warning"}),
        ("envoy-grpc", "failure_mode_allow: false", "failure_mode_allow: true", {"no answer": "wrong"}),
        (
            "envoy-grpc",
            "route: {cluster: app, ",
            'route: {prefix_rewrite: "/v1/", cluster: app, ',
            {"rewritten after the question": "wrong"},
        ),
    ],
)
def test_a_fault_is_found(name: str, right: str, wrong: str, expected: dict[str, str], tmp_path: Path) -> None:
    """Each is a single change to the shipped example."""

    def change(text: str) -> str:
        assert right in text
        return text.replace(right, wrong)

    assert examine(BY_NAME[name], tmp_path, change) == expected
