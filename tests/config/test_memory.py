"""The memory that a configuration allows, and the memory that the chart gives to a pod."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from enforcer.config.documents.document import MAX_VALUES
from enforcer.config.load import Loaded
from enforcer.config.memory import PROCESS, memory_bounds
from enforcer.kubernetes.sidecar import Resources
from enforcer.units import parse_size

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def limits() -> Mapping[str, str | None]:
    """Return the default memory limits of a gateway and of a sidecar, by the file that sets them."""
    values = yaml.safe_load((ROOT / "helm" / "enforcer" / "values.yaml").read_text())
    manifests = ("k8s/base/deployment.yaml", "k8s/components/sidecar/pod.yaml", "k8s/components/loopback/pod.yaml")
    templates = ("helm/enforcer-lib/templates/_settings.tpl", *manifests)
    written = {name: re.findall(r" limits: \{memory: (\w+)\}", (ROOT / name).read_text()) for name in templates}
    return {
        "gateway of the chart": values["resources"]["limits"]["memory"],
        "sidecars of the chart's webhook": values["sidecar"]["resources"]["limits"]["memory"],
        "enforcer inject": Resources().memory_limit,
        **{name: limit for name, (limit,) in written.items()},
    }


def test_the_memory_limits_of_pods_cover_the_default_settings(loads: Callable[..., Loaded]) -> None:
    """With 10,000 rules, a reload that reads as much as it may, and a sixth that the allocator may keep free."""
    loaded = loads()
    rule = loaded.config.rules[0]
    config = replace(loaded.config, rules=(rule,) * 10_000)
    allowed = sum(memory_bounds(config, MAX_VALUES // 2).values())
    for name, limit in limits().items():
        assert allowed <= parse_size(f"{limit}B") * 5 / 6, name


@pytest.mark.parametrize(
    ("changed", "part", "bound"),
    [
        ("cache: {memory: 1MiB}", "cache.memory", 1024**2),
        ("cache: {negative_entries: 10}", "cache.negative_entries", 3840),
        ("dpop: {replays: 10}", "dpop.replays", 1280),
        ("log: {decisions: all, backlog_memory: 1MiB}", "log.backlog_memory", 1024**2),
        ("log: {backlog_memory: 1MiB}", "log.backlog_memory", 0),
        ("admin: {credential: {env: SECRET}, denials_memory: 2MiB}", "admin.denials_memory", 2 * 1024**2),
        ("admin: {denials_memory: 2MiB}", "admin.denials_memory", 0),
        ("limits: {connection_memory: 1MiB}", "limits.connection_memory", 1024**2),
        ("limits: {held_input: 1MiB}", "limits.held_input", 1024**2),
        ("limits: {unseen_tokens: {addresses: 10}}", "limits.unseen_tokens.addresses", 15_360),
        ("dpop: {keys: 1MiB}", "dpop.keys", 1024**2),
        ("admin: {connections: 1}", "admin.connections", 128 * 1024),
    ],
)
def test_each_setting_bounds_its_part(changed: str, part: str, bound: int, loads: Callable[..., Loaded]) -> None:
    """Parts that are not in use take nothing."""
    assert memory_bounds(loads(f"{changed}\n").config, 10)[part] == bound


FILL = """
import os, sys
from harness.usage import peak_memory
from enforcer.share_report import SharedTable, ShareReport
from enforcer.decision_log.buffer import DecisionBuffer, RetentionSettings
from enforcer.decision_log.record import DecisionRecord
from enforcer.settings.cache import CacheSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.settings.limits import UnseenSettings
from enforcer.settings.connections.pool import BreakerSettings, PoolSettings
from enforcer.telemetry import Telemetry
from enforcer.tokens.cache import TokenCache
from enforcer.tokens.claims import read_claims
from enforcer.tokens.dpop.replay_cache import ReplayCache, proof_id
from enforcer.tokens.introspection.admission import LookupAdmission
from enforcer.tokens.introspection.response import INACTIVE
from enforcer.tokens.limiter import ClientLimiter
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.retention import Retention

before = peak_memory(os.getpid())
cache = TokenCache(CacheSettings(memory=8 * 1024**2, negative_entries=5000), Retention(["groups"], {}))
buffer, settings = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG)), RetentionSettings(
    denials=10**6, denials_memory=4 * 1024**2, logged="all", backlog=10**6, backlog_memory=4 * 1024**2, share=100
)
for number in range(20_000):
    groups = [f"{number} {index}" for index in range(200 if number % 20 == 0 else 1)]
    token = read_claims({"sub": f"{number}" * 10, "groups": groups, "unread": groups * 2, "scope": f"s{number}"})
    entry = cache.put(b"%032d" % number, token, b"X-Auth-Subject: %d" % number, 1.0)
    cache.put(b"-%031d" % number, INACTIVE, b"", 1.0)
    path = b"/a" * (4000 if number % 20 == 0 else 20)
    record = DecisionRecord(1.0, b"%016x" % number, b"GET", path, None, ("deny", "x"), entry.result, None, None)
    buffer.keep(f"10.0.0.{number % 200}", record, settings)
    buffer.log(f"10.0.0.{number % 200}", record, settings)
proofs, used = ProofSettings(replays=60_000), ReplayCache()
for number in range(60_000):
    proof, holder = proof_id("key", str(number)), f"{number % 1000:032}"
    if used.check(proof, holder, 1.0, proofs, 100, 1.0) is None:
        used.add(proof, holder)
assert len(used) == 60_000
limiters = [ClientLimiter(UnseenSettings(addresses=5000)) for _ in range(2)]
admission = LookupAdmission(BreakerSettings(clients=5000), PoolSettings())
for number in range(20_000):
    client = f"2001:db8:{number:x}:ffff::/64" if number < 5000 else f"2001:{number:x}:ffff:ffff::/64"
    for limiter in limiters:
        limiter.wait(client, 1.0)
    admission.admit(Lookup(b"token", client, False), 1.0)
telemetry = Telemetry("1")
for number in range(2000):
    metrics = telemetry.route(f"rule {number}")
    for status in (200, 304, 401, 403, 404, 499, 503):
        metrics.requests[b"GET", status].value += 300
    for reason in ("ok", "no_token", "inactive", "insufficient_scope", "error"):
        metrics.decisions["deny", reason].value += 300
    metrics.duration.observe(0.5)
allowed = 8 * 1024**2 + 5000 * 384 + 2 * 4 * 1024**2 + 60_000 * 128 + 4 * 5000 * 384 + 5000 * 512 + 2000 * 3072
sys.stdout.write(f"{peak_memory(os.getpid()) - before} {allowed}")
"""


def output(program: str) -> bytes:
    """Run a program that may import the harness, in a process of its own, and return its standard output."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=120, cwd=TESTS
    ).stdout


def test_full_tables_take_no_more_memory_than_is_counted() -> None:
    """Filled with small and with the largest things, in a process of its own; the allocator keeps some free."""
    grown, allowed = map(int, output(FILL).split())
    assert grown < 1.25 * allowed + 2 * 1024**2


def test_an_idle_process_is_smaller_than_assumed() -> None:
    """With every module that it may load."""
    program = "import os, enforcer.server.serve, enforcer.tokens.jwt.jwt_source, enforcer.tokens.dpop.proof\n"
    program += "from harness.usage import peak_memory\nprint(peak_memory(os.getpid()))"
    assert int(output(program)) < PROCESS * 1.25
