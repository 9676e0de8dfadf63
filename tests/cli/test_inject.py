"""`enforcer inject` and `uninject` as commands; complete outputs are in tests/kubernetes/golden."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from harness.certificates import Authority
from harness.kubernetes.manifests import container, deployment, find, service, written

from enforcer.cli import main

POLICY = """\
authorization_servers:
  - introspection_endpoint: https://auth.example.org/introspect
    client_id: {env: ENFORCER_CLIENT_ID}
    client_secret: {file: /etc/enforcer-credentials/client-secret}
    tls: {ca: ca.pem}
rules:
  - {name: all, path: /**, authenticated: true}
"""
TEXT = written([deployment(), service()], "indented")


def enforcer(*arguments: str, text: str | None = TEXT) -> Result:
    """Run a command on manifests."""
    return CliRunner().invoke(main, arguments, input=text, prog_name="enforcer")


def things(text: str) -> list[Any]:
    return [*yaml.safe_load_all(text)]


@pytest.mark.parametrize("arguments", [["-"], ["-f", "-"], ["-", "-o", "yaml"]])
def test_standard_input_is_read(arguments: list[str]) -> None:
    """`uninject` restores the input."""
    ended = enforcer("inject", *arguments)
    assert ended.exit_code == 0
    assert [document["kind"] for document in things(ended.stdout)] == ["Deployment", "Service", "NetworkPolicy"]
    assert enforcer("uninject", *arguments, text=ended.stdout).stdout == TEXT


@pytest.mark.parametrize("mode", ["port", "loopback", "transparent"])
def test_a_probe_on_one_line_comes_back_to_the_byte(mode: str) -> None:
    """Also if the port's name was replaced by a number."""
    line = next(line for line in TEXT.splitlines() if line.endswith("image: app:1"))
    indent = len(line) - len(line.lstrip(" -"))
    probe = f"{' ' * indent}readinessProbe: {{httpGet: {{path: /ready, port: http}}}}\n"
    text = TEXT.replace(f"{line}\n", f"{line}\n{probe}")
    once = enforcer("inject", "-", "--mode", mode, text=text)
    assert (once.exit_code, probe in once.stdout) == (0, False)
    assert enforcer("uninject", "-", text=once.stdout).stdout == text


def test_files_and_folders_are_read_in_their_order(tmp_path: Path) -> None:
    """Subfolders only with --recursive, and only files that are manifests."""
    for name in ("b.yaml", "a.yml", "inner/c.json", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": path.stem}}))
    flat = enforcer("inject", "-f", str(tmp_path))
    deep = enforcer("inject", "-R", "-f", str(tmp_path), "-f", str(tmp_path / "b.yaml"))
    assert [item["metadata"]["name"] for item in json.loads(flat.stdout)["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in json.loads(deep.stdout)["items"]] == ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "no input; give"),
        (["app.yaml"], "name a file with an option: -f app.yaml"),
        (["-f", "https://example.org/app.yaml"], "URLs are not supported"),
        (["-f", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file or directory"),
        (["-f", "."], "this folder contains no manifest (.yaml, .yml, .json)"),
        (["-f", "/dev/zero"], "is larger than"),
        (["-", "--mode", "sidecar"], "--mode: expected port, loopback, transparent"),
        (["-", "--port", "0"], "--port: expected a whole number from 1 to 65535"),
        (["-", "--kube-version", "latest"], "expected a version of Kubernetes, such as 1.33, found latest"),
        (["-", "--kube-version", "1.20"], "expected 1.29, the oldest supported version, or later, found 1.20"),
        (["-", "--app-env", "HOST=127.0.0.1"], "--app-env and --app-arg are for --mode loopback; the mode is port"),
        (["-", "--app-arg=--local", "--mode", "transparent"], "are for --mode loopback; the mode is transparent"),
        (["-", "--set", "logLevel"], "expected NAME=VALUE, found logLevel"),
        (["-", "--set", "x=1"], "x is unknown"),
        (["-", "--selector", "a=b c"], "expected a selector such as"),
        (["-", "--app-env", "=x"], "expected NAME=VALUE"),
        (["-", "--policy", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["-", "--output", "table"], "'table' is not one of"),
        (["--nothing"], "No such option"),
    ],
)
def test_wrong_use_ends_with_1(arguments: list[str], why: str, monkeypatch: Any, tmp_path: Path) -> None:
    """Exit code 2 is for faults of the manifests; nothing is written."""
    monkeypatch.chdir(tmp_path)
    ended = enforcer("inject", *arguments)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert why in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    ("text", "why"),
    [("a: [\n", "standard input:2:1: not YAML"), ("a: 1\na: 2\n", 'standard input:2:1: not YAML: the key "a" is')],
)
@pytest.mark.parametrize("command", ["inject", "uninject"])
def test_input_that_is_not_a_manifest_ends_with_1(command: str, text: str, why: str) -> None:
    """The message has its line."""
    ended = enforcer(command, "-", text=text)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(why)


def test_a_byte_order_mark_is_not_a_part_of_the_first_key(tmp_path: Path) -> None:
    """Editors on Windows write it; the output has none."""
    path = tmp_path / "a.yaml"
    path.write_text(f"\ufeff{TEXT}", encoding="utf-8")
    assert enforcer("inject", "-f", str(path)).stdout == enforcer("inject", "-").stdout


def test_bytes_that_are_not_text_end_with_1(tmp_path: Path) -> None:
    """The message has their position."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\n")
    ended = enforcer("inject", "-f", str(path))
    assert (ended.exit_code, ended.stderr) == (1, f"{path}: the byte 0xFF at 3 is not UTF-8\n")


def test_aliases_of_changed_values_are_written_out_and_restored() -> None:
    """`labels: *labels` is common. An alias of a key stays."""
    labels = "labels:\n        app: app"
    assert labels in TEXT
    anchored = TEXT.replace(labels, "labels: &labels\n        app: app\n      annotations: *labels")
    made = enforcer("inject", "-", text=anchored).stdout
    assert "annotations: # *labels" in made
    assert enforcer("uninject", "-", text=made).stdout == anchored
    number = "terminationGracePeriodSeconds: *number\n      containers:"
    anchored = TEXT.replace("      containers:", f"      {number}").replace("spec:", "spec:\n  replicas: &number 3", 1)
    made = enforcer("inject", "-", text=anchored).stdout
    assert "terminationGracePeriodSeconds: 45 # *number" in made
    assert enforcer("uninject", "-", text=made).stdout == anchored
    key = TEXT.replace("spec:", "&key spec:", 1).replace(
        "      containers:", "      subdomain: *key\n      containers:"
    )
    made = enforcer("inject", "-", text=key).stdout
    assert enforcer("uninject", "-", text=made).stdout == key


def test_a_refused_workload_is_written_as_it_is_and_reported_last() -> None:
    """The others are injected; the exit code is 2. With --all-or-nothing, nothing is written."""
    refused = written([deployment(hostNetwork=True, name="b")], "indented")
    ended = enforcer("inject", "-", text=refused + "---\n" + TEXT)
    assert ended.exit_code == 2
    assert ended.stdout.startswith(refused)
    assert "enforcer.dev/injected" in ended.stdout
    assert ended.stderr.splitlines()[-1].startswith("deployment/b")
    assert enforcer("uninject", "-", text=ended.stdout).stdout == refused + "---\n" + TEXT
    ended = enforcer("inject", "-", "--all-or-nothing", text=refused + "---\n" + TEXT)
    assert (ended.exit_code, ended.stdout) == (2, "")


@pytest.mark.parametrize(
    ("text", "code"), [(TEXT, 3), (enforcer("inject", "-").stdout, 0), (written([service()], "indented"), 3)]
)
def test_the_check_ends_with_3_if_something_is_missing(text: str, code: int) -> None:
    """It writes only its report."""
    ended = enforcer("inject", "-", "--check", text=text)
    assert (ended.exit_code, ended.stdout) == (code, "")
    assert ended.stderr


def test_strict_takes_warnings_for_refusals() -> None:
    """Such as a port that is not protected."""
    text = written([deployment(container("app", {"containerPort": 8080}, {"containerPort": 1}))], "indented")
    assert enforcer("inject", "-", "--port", "8080", text=text).exit_code == 0
    ended = enforcer("inject", "-", "--port", "8080", "--strict", text=text)
    assert (ended.exit_code, ended.stdout) == (2, "")


def test_an_undeclared_port_fails_the_check() -> None:
    """It would stay unprotected; with --port, it is injected."""
    text = written([deployment({"name": "app"})], "indented")
    assert (enforcer("inject", "-", text=text).exit_code, enforcer("inject", "-", text=text).stdout) == (2, text)
    for arguments, code in ((["--check"], 3), (["--strict"], 2), (["--check", "--strict"], 3)):
        ended = enforcer("inject", "-", *arguments, text=text)
        assert (ended.exit_code, ended.stdout) == (code, "")
        assert "name it with --port" in ended.stderr
    assert enforcer("inject", "-", "--strict", "--port", "8090", text=text).exit_code == 0


@pytest.mark.parametrize("text", ["", "# nothing\n", "rules: []\n", written([service()], "indented")])
def test_input_without_a_workload_is_reported(text: str, tmp_path: Path) -> None:
    """The wrong file may have been named; as a filter, the command writes its input unchanged anyway."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    ended = enforcer("inject", "-f", str(path), "-q")
    assert (ended.exit_code, ended.stdout) == (0, text)
    assert ended.stderr == f"{path}  warning     no workload in {path}\n"
    for arguments, code in ((["--check"], 3), (["--strict"], 2), (["--check", "--strict"], 3)):
        ended = enforcer("inject", "-", *arguments, text=text)
        assert (ended.exit_code, ended.stdout) == (code, "")
        assert "no workload in standard input" in ended.stderr


def test_quiet_reports_what_matters() -> None:
    """Without warnings there is no report."""
    assert enforcer("inject", "-", "-q").stderr == ""
    assert "warning" in enforcer("inject", "-", "-q", "--no-network-policy").stderr


@pytest.mark.parametrize(
    ("form", "begins"), [("json", "{\n"), ("patch", "patches:\n  - target:\n"), ("diff", "--- before\n+++ after\n@@")]
)
def test_the_output_has_the_requested_format(form: str, begins: str) -> None:
    """JSON, a kustomization, or a diff."""
    assert enforcer("inject", "-", "-o", form).stdout.startswith(begins)


def test_json_stays_json() -> None:
    """Output of kubectl may be JSON."""
    text = written([{"apiVersion": "v1", "kind": "List", "items": [deployment(), service()]}], "JSON")
    ended = enforcer("inject", "-", text=text)
    assert [item["kind"] for item in json.loads(ended.stdout)["items"]] == ["Deployment", "Service", "NetworkPolicy"]
    assert enforcer("uninject", "-", text=ended.stdout).stdout == text


def test_options_take_effect() -> None:
    """All of them in one run."""
    arguments = [
        *("--mode", "loopback", "--container", "app", "--port", "http", "--image", "e:2", "--native-sidecar", "true"),
        *("--policy-configmap", "rules/p.yaml", "--credentials-secret", "client", "--app-env", "HOST=127.0.0.1"),
        *("--app-arg=--local", "--set", "adminPort=9000", "--set", "runAsUser=null", "--network-policy"),
    ]
    workload, *_, policy = things(enforcer("inject", "-", *arguments).stdout)
    spec = workload["spec"]["template"]["spec"]
    (sidecar,) = spec["initContainers"]
    assert (sidecar["image"], sidecar["args"][1]) == ("e:2", "/etc/enforcer/p.yaml")
    assert "runAsUser" not in sidecar["securityContext"]
    assert [volume["name"] for volume in spec["volumes"][:2]] == ["enforcer-policy", "enforcer-credentials"]
    assert spec["volumes"][0]["configMap"]["name"] == "rules"
    assert spec["volumes"][1]["secret"]["secretName"] == "client"
    assert spec["containers"][0]["env"] == [{"name": "HOST", "value": "127.0.0.1"}]
    assert spec["containers"][0]["args"] == ["--local"]
    assert policy["spec"]["ingress"][0]["ports"][0]["port"] == 8080
    assert policy["spec"]["ingress"][1]["ports"][0]["port"] == 9000
    other = things(enforcer("inject", "-", "--listen-port", "9001").stdout)[0]
    assert other["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == 9001


def test_app_options_need_only_one_workload_in_mode_loopback() -> None:
    """The mode may come from its annotation or from its namespace's."""
    own = deployment()
    own["spec"]["template"]["metadata"]["annotations"] = {"enforcer.dev/mode": "loopback"}
    space = {"kind": "Namespace", "metadata": {"name": "web", "annotations": {"enforcer.dev/mode": "loopback"}}}
    inside = deployment()
    inside["metadata"]["namespace"] = "web"
    for documents in ([own], [space, inside]):
        ended = enforcer("inject", "-", "--app-env", "HOST=127.0.0.1", text=written(documents, "indented"))
        assert (ended.exit_code, "name: HOST" in ended.stdout) == (0, True)


def test_the_protocol_of_a_policy_applies_to_an_app_of_another_name(tmp_path: Path) -> None:
    """Its author knows the app better than the name of a port does."""
    path = tmp_path / "policy.yaml"
    path.write_text("upstream: {protocol: http1}\n" + POLICY.replace("    tls: {ca: ca.pem}\n", ""), "utf-8")
    text = TEXT.replace("http", "grpc")
    sidecar = str(things(enforcer("inject", "-", "--policy", str(path), text=text).stdout))
    assert '--set=upstream.protocol="http1"' in sidecar
    assert "--set=upstream.protocol=h2c" in str(things(enforcer("inject", "-", text=text).stdout))


def test_a_policy_is_stored_in_a_config_map_with_the_files_that_it_names(tmp_path: Path, certificate: str) -> None:
    """Unchanged, with its comments."""
    (tmp_path / "ca.pem").write_text(certificate)
    path = tmp_path / "policy.yaml"
    path.write_text("# the rules\n" + POLICY)
    made = find(things(enforcer("inject", "-", "--policy", str(path)).stdout), "ConfigMap")
    assert made["metadata"]["name"] == "app-enforcer"
    assert made["data"] == {"config.yaml": "# the rules\n" + POLICY, "ca.pem": certificate}


@pytest.fixture
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a certificate as PEM text."""
    return Authority(tmp_path_factory.mktemp("authority")).ca.read_text()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("{env: ENFORCER_CLIENT_ID}", "{env: MY_ID}", "policy.yaml:3:22: authorization_servers[0].client_id.env: a s"),
        ("/etc/enforcer-credentials/client-secret", "x", "policy.yaml:4:27: authorization_servers[0].client_secret"),
        ("path: /**", "path: no", "policy.yaml:7:23: rules[0].path: a path begins with /"),
        ("rules:", "admin: {credential: {env: X}}\nrules:", "admin.credential.env: a sidecar's secrets come"),
        ("ca.pem", "../ca.pem", "put it into the policy's folder"),
        ("ca.pem", "key.pem", "a private key must not be in a ConfigMap"),
        ("rules:", "listener: {tls: {certificate: ca.pem, key: key.pem}}\nrules:", "cannot be used for TLS"),
    ],
)
def test_a_policy_that_a_sidecar_cannot_use_is_refused(
    old: str, new: str, why: str, tmp_path: Path, certificate: str
) -> None:
    """The message has its line, and nothing is written."""
    folder = tmp_path / "inner"
    folder.mkdir()
    for parent in (tmp_path, folder):
        (parent / "ca.pem").write_text(certificate)
    issued, key = Authority(tmp_path).issue("app")
    (folder / "key.pem").write_text(issued.read_text() + key.read_text())
    path = folder / "policy.yaml"
    assert old in POLICY
    path.write_text(POLICY.replace(old, new))
    ended = enforcer("inject", "-", "--policy", str(path))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert why in ended.stderr


@pytest.mark.parametrize("host", ["127.0.0.1:8085", "localhost", "[::1]:8085"])
def test_an_authorization_server_at_loopback_is_a_warning(host: str, tmp_path: Path, certificate: str) -> None:
    """In a pod, loopback is the pod itself, where usually no authorization server listens."""
    (tmp_path / "ca.pem").write_text(certificate)
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    assert "warning" not in enforcer("inject", "-", "--policy", str(path)).stderr
    path.write_text(POLICY.replace("auth.example.org", host))
    ended = enforcer("inject", "-", "--policy", str(path))
    assert ended.exit_code == 0
    where = f"{path}:2:29: authorization_servers[0].introspection_endpoint: https://{host}/introspect is in the pod"
    assert f"warning     {where}" in ended.stderr
    assert enforcer("inject", "-", "--policy", str(path), "--strict").exit_code == 2


def test_the_upstream_may_use_tls(tmp_path: Path, certificate: str) -> None:
    """The sidecar then connects with TLS, to the app's port."""
    (tmp_path / "ca.pem").write_text(certificate)
    path = tmp_path / "policy.yaml"
    path.write_text("upstream: {url: 'https://app:1', tls: {ca: ca.pem, server_name: app}}\n" + POLICY)
    ended = enforcer("inject", "-", "--policy", str(path))
    assert ended.exit_code == 0, ended.stderr
    assert "--set=upstream.url=https://127.0.0.1:8080" in ended.stdout


def test_it_is_a_filter(tmp_path: Path) -> None:
    """It works as Helm's post-renderer: a program that reads standard input and writes standard output."""
    command = [sys.executable, "-m", "enforcer"]
    once = subprocess.run([*command, "inject", "-"], input=TEXT, capture_output=True, text=True, check=True).stdout
    back = subprocess.run([*command, "uninject", "-"], input=once, capture_output=True, text=True, check=True).stdout
    assert (back, "enforcer.dev/status" in once) == (TEXT, True)


def test_patches_name_the_objects_that_they_cannot_add() -> None:
    """Without its NetworkPolicy, a kustomization would leave the bypass open that the report calls closed."""
    text = written([deployment(), service()], "indented")
    result = CliRunner().invoke(main, ["inject", "-", "-o", "patch"], input=text, prog_name="enforcer")
    assert "networkpolicy/app-enforcer  warning     the patches do not contain it: add it to the res" in result.stderr
    assert "NetworkPolicy" not in result.stdout
