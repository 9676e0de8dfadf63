"""Commands about the policy: explain, test, check, learn, import-openapi."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner, Result
from harness.servers import Server, introspection_server, raw_server

from enforcer.cli import main

ROOT = Path(__file__).parents[2]
OKTA = ROOT / "tests" / "analysis" / "documents" / "okta-management.yaml"

CONFIG = """\
upstream: {url: "http://127.0.0.1:8090"}
authorization_servers:
  - introspection_endpoint: http://127.0.0.1:PORT/introspect
    client_id: enforcer
    client_secret: {env: ENFORCER_CLIENT_SECRET}
    timeout: 5s
rules:
  - name: read
    path: /a/**
    methods: [GET]
    scopes: [a.read]
  - name: tenant
    path: /tenants/{tenant}
    audience: [shop]
    issuer: [https://as.example.org]
    client_ids: [web]
    claims: {tenant: "{tenant}", level: 2}
  - name: health
    path: /health
    public: true
limits: {token: 64B}
"""


def enforcer(*arguments: str, secret: str | None = None, stdin: str = "") -> Result:
    environment = {"ENFORCER_CLIENT_SECRET": secret}
    return CliRunner(env=environment).invoke(main, arguments, stdin, prog_name="enforcer")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a configuration the working directory."""
    (tmp_path / "config.yaml").write_text(CONFIG.replace("PORT", "1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
class TestExplain:
    """`enforcer explain`."""

    def test_a_denied_request_is_explained_with_exit_code_1(self) -> None:
        """Without a token, and without the client secret."""
        result = enforcer("explain", "GET", "/a/b", "--host", "shop.example.org")
        assert (result.exit_code, result.stderr) == (1, "")
        assert (
            result.stdout
            == """\
GET /a/b  host shop.example.org
path: /a/b

rules that match this path, the most specific first:
  ✓  "read"  config.yaml:8  /a/**  chosen

conditions of rule "read":
  ✗  token   needed: an access token  there: none
  ✗  state   needed: active           there: nothing
  ✗  scopes  needed: a.read           there: unknown

decision: deny, missing_token
answer: 401, an access token is needed
  WWW-Authenticate: Bearer
"""
        )

    @pytest.mark.parametrize(
        ("arguments", "code", "reason"),
        [
            (["/health"], 0, "public"),
            (["/a", "--scope", "x a.read"], 0, "ok"),
            (["/a", "--scope", ""], 1, "insufficient_scope"),
            (["/b", "--scope", "a.read"], 1, "no_rule"),
            (["/a/../b"], 1, "ambiguous_path"),
        ],
    )
    def test_the_exit_code_is_0_only_for_an_allowed_request(self, arguments: list[str], code: int, reason: str) -> None:
        """So that scripts can use it."""
        result = enforcer("explain", "GET", *arguments, "--json")
        assert (result.exit_code, json.loads(result.stdout)["judgement"]["reason"]) == (code, reason)

    @pytest.mark.parametrize(
        ("left_out", "reason"),
        [
            ("", "ok"),
            ("--audience shop", "wrong_audience"),
            ("--issuer https://as.example.org", "wrong_issuer"),
            ("--client-id web", "client_mismatch"),
            ("--claim tenant=acme", "claim_mismatch"),
            ("--claim level=2", "claim_mismatch"),
        ],
    )
    def test_options_describe_an_assumed_token(self, left_out: str, reason: str) -> None:
        """Each property has an option; a claim's value is parsed as JSON if possible."""
        options = "--audience shop --issuer https://as.example.org --client-id web --claim tenant=acme --claim level=2"
        result = enforcer("explain", "POST", "/tenants/acme", "--json", *options.replace(left_out, "").split())
        assert json.loads(result.stdout)["judgement"]["reason"] == reason

    def test_the_subject_is_an_option(self, here: Path) -> None:
        """It sets the claim `sub`."""
        config = here / "config.yaml"
        config.write_text(config.read_text().replace("scopes: [a.read]", "claims: {sub: alice}"))
        assert enforcer("explain", "GET", "/a", "--subject", "alice").exit_code == 0
        assert enforcer("explain", "GET", "/a", "--subject", "bob").exit_code == 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "Missing argument 'METHOD'"),
            (["GET", "/a", "--claim", "x"], "--claim x: expected NAME=VALUE"),
            (["GET", "/a", "--claim", "scope=x"], "claims: scope is set by a key of its own"),
            (["GET", "/a", "--token", "x", "--scope", "y"], "--token cannot be combined"),
            (["get", "/a"], "METHOD comes before PATH, in capitals"),
            (["/a", "GET"], "METHOD comes before PATH, in capitals"),
            (["GET", "/a", "--address", "10.0.0.300"], "--address: expected an IP address"),
        ],
    )
    def test_wrong_usage_has_exit_code_2(self, arguments: list[str], message: str) -> None:
        """The message names the wrong argument."""
        result = enforcer("explain", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr

    def test_an_invalid_configuration_has_exit_code_2(self, here: Path) -> None:
        """With its errors."""
        (here / "config.yaml").write_text("rules: 1\n")
        result = enforcer("explain", "GET", "/a")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "config.yaml:1:8: rules: expected a list, found 1" in result.stderr


@pytest.fixture(scope="module")
def auth() -> Iterator[Server]:
    with introspection_server({"good": {"scope": "a.read", "sub": "alice"}}) as server:
        yield server


class TestExplainWithToken:
    """`enforcer explain --token`."""

    def explained(self, here: Path, port: int, target: str, token: str, stdin: str = "") -> tuple[Result, int]:
        (here / "config.yaml").write_text(CONFIG.replace("PORT", str(port)))
        result = enforcer("explain", "GET", target, "--json", "--token", token, secret="hunter2", stdin=stdin)
        assert token == "-" or token not in result.output
        return result, result.exit_code

    @pytest.mark.parametrize(
        ("target", "token", "reason", "asked"),
        [
            ("/a", "good", "ok", 1),
            ("/a", "bad", "inactive_token", 1),
            ("/a", "no token", "invalid_request", 0),
            ("/a", "n\u00f6", "malformed_token", 0),
            ("/a?access_token=x", "good", "ok", 1),
            ("/a", "x" * 65, "malformed_request", 0),
            ("/health", "good", "public", 0),
            ("/nowhere", "good", "no_rule", 0),
        ],
    )
    def test_the_token_is_introspected_only_if_the_enforcer_would(
        self, here: Path, auth: Server, target: str, token: str, reason: str, asked: int
    ) -> None:
        """The output never contains the token."""
        auth.requests.clear()
        result, _ = self.explained(here, auth.port, target, token)
        assert json.loads(result.stdout)["judgement"]["reason"] == reason
        assert len(auth.requests) == asked

    def test_a_token_can_come_from_standard_input(self, here: Path, auth: Server) -> None:
        """So that it does not appear in the process list."""
        result, code = self.explained(here, auth.port, "/a", "-", stdin="good\n")
        assert code == 0
        assert "good" not in result.output

    def test_a_failing_authorization_server_is_reported(self, here: Path) -> None:
        """With the response that clients would get."""
        with raw_server(lambda head, body: b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n") as broken:
            result, code = self.explained(here, broken.port, "/a", "good")
        report = json.loads(result.stdout)["judgement"]
        assert (code, report["decision"], report["reason"]) == (1, "error", "introspection_unavailable")
        assert (report["reply"]["status"], report["reply"]["retry_after"]) == (503, 5)
        assert result.stderr == "authorization server default: unavailable: it answered 500\n"


TESTS = """\
tests:
  - {name: open, request: GET /health, expect: allow}
  - name: shut
    request: GET /a
    expect: EXPECTED
"""


def test_a_large_openapi_document_becomes_a_valid_configuration(here: Path) -> None:
    """Unchanged, it passes `check`, and every rule has an operation."""
    proposed = enforcer("import-openapi", str(OKTA))
    assert proposed.exit_code == 0
    (here / "config.yaml").write_text(proposed.stdout, "utf-8")
    checked = enforcer("check", "--format", "json", secret="hunter2")
    report = json.loads(checked.stdout)
    assert (checked.exit_code, report["usable"]) == (0, True)
    assert report["rules"] > 20
    assert {finding["level"] for finding in report["findings"]} <= {"warning", "note"}
    compared = enforcer("import-openapi", str(OKTA), "--check", "config.yaml")
    assert (compared.exit_code, compared.stdout) == (
        0,
        "104 operations have a rule that requires as much, and each rule has an operation\n",
    )


RESOLVED = """\
GET /orders/7  host app.example.org
path: /orders/7

rules that match this path, the most specific first:
  ✓  "orders"  rules/orders.yaml:2  /orders/{id}  chosen

conditions of rule "orders":
  ✓  token       needed: an access token                    there: one
  ✓  state       needed: active                             there: active
  ✓  time        needed: valid now                          there: no expiry
  ✓  issuer      needed: https://as.example.org             there: https://as.example.org
  ✗  scopes      needed: all of orders.read, profile, mail  there: orders.read
  ✓  client_ids  needed: web                                there: web

decision: deny, insufficient_scope
answer: 403, the token lacks a scope; needed: mail orders.read profile
  WWW-Authenticate: Bearer error="insufficient_scope", scope="mail orders.read profile"
"""


def test_explain_shows_the_resolved_rule_and_its_place(here: Path) -> None:
    """With defaults, scope sets and several files."""
    (here / "rules").mkdir()
    (here / "rules" / "orders.yaml").write_text(
        'rules:\n  - {name: orders, path: "/orders/{id}", scopes: [orders.read, $basics]}\n'
    )
    (here / "config.yaml").write_text(
        CONFIG.partition("rules:")[0].replace("PORT", "1")
        + "rule_files: [rules]\nscope_sets: {basics: [profile, mail]}\n"
        + "rule_defaults: {issuer: [https://as.example.org], client_ids: [web], host: app.example.org}\n"
    )
    facts = ["--scope", "orders.read", "--issuer", "https://as.example.org", "--client-id", "web"]
    result = enforcer("explain", "GET", "/orders/7", "--host", "app.example.org", *facts)
    assert (result.exit_code, result.stdout) == (1, RESOLVED)


@pytest.mark.usefixtures("here")
class TestTest:
    """`enforcer test`."""

    def test_passed_tests_and_uncovered_rules_are_reported(self, here: Path) -> None:
        """With exit code 0."""
        (here / "tests.yaml").write_text(TESTS.replace("EXPECTED", "deny"))
        result = enforcer("test", "tests.yaml")
        assert (result.exit_code, result.stderr) == (0, "")
        assert (
            result.stdout
            == """\
2 tests: 2 passed, 0 failed
1 of 3 rules covered
config.yaml:8: rule "read" is never allowed
config.yaml:12: rule "tenant" is never allowed or denied
"""
        )
        assert enforcer("test", "tests.yaml", "--no-coverage").stdout == "2 tests: 2 passed, 0 failed\n"

    def test_a_failed_test_is_explained(self, here: Path) -> None:
        """With exit code 1; the JUnit report has it too."""
        (here / "tests.yaml").write_text(TESTS.replace("EXPECTED", "allow"))
        result = enforcer("test", "tests.yaml", "--no-coverage", "--junit", "out.xml")
        assert (result.exit_code, result.stderr) == (1, "")
        assert (
            result.stdout
            == """\
tests.yaml:3: shut
  decision: expected allow, got deny

  GET /a
  path: /a

  rules that match this path, the most specific first:
    ✓  "read"  config.yaml:8  /a/**  chosen

  conditions of rule "read":
    ✗  token   needed: an access token  there: none
    ✗  state   needed: active           there: nothing
    ✗  scopes  needed: a.read           there: unknown

  decision: deny, missing_token
  answer: 401, an access token is needed
    WWW-Authenticate: Bearer

2 tests: 1 passed, 1 failed
"""
        )
        suite = ElementTree.parse(here / "out.xml").getroot()[0]
        assert (suite.get("tests"), suite.get("failures")) == ("2", "1")

    def test_several_files_are_one_run(self, here: Path) -> None:
        """Tests in different files may have the same name."""
        for name in ("one.yaml", "two.yaml"):
            (here / name).write_text(TESTS.replace("EXPECTED", "deny"))
        assert enforcer("test", "one.yaml", "two.yaml").stdout.startswith("4 tests: 4 passed, 0 failed\n")

    def test_an_invalid_file_has_exit_code_2(self, here: Path) -> None:
        """Before any test is run."""
        (here / "tests.yaml").write_text(TESTS)
        result = enforcer("test", "tests.yaml")
        assert (result.exit_code, result.stdout) == (2, "")
        assert (
            result.stderr == 'tests.yaml:5:13: tests[1].expect: expected allow, deny or would_deny, found "EXPECTED"\n'
        )

    def test_rules_in_report_mode_can_be_tested_as_if_enforced(self, here: Path) -> None:
        """So that tests can be written before the policy is enforced."""
        (here / "config.yaml").write_text(CONFIG.replace("PORT", "1") + "mode: report\n")
        (here / "tests.yaml").write_text("tests: [{name: none, request: GET /a, expect: deny, status: 401}]\n")
        result = enforcer("test", "tests.yaml", "--no-coverage")
        assert (result.exit_code, "decision: expected deny, got would_deny" in result.stdout) == (1, True)
        assert result.stdout.endswith(
            "\nrules in report mode deny nothing: expect would_deny, or test with --enforced\n"
        )
        result = enforcer("test", "tests.yaml", "--no-coverage", "--enforced")
        assert (result.exit_code, result.stdout) == (0, "1 test: 1 passed, 0 failed\n")

    def test_a_junit_report_that_cannot_be_written_is_an_error(self, here: Path) -> None:
        """With one line on standard error."""
        (here / "tests.yaml").write_text(TESTS.replace("EXPECTED", "deny"))
        result = enforcer("test", "tests.yaml", "--junit", "no/out.xml")
        assert (result.exit_code, result.stderr) == (1, "Error: no/out.xml: No such file or directory\n")


def test_the_projects_own_tests_pass_and_cover_every_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests shipped beside config.yaml."""
    monkeypatch.chdir(ROOT)
    result = enforcer("test", "policy-tests.yaml")
    assert result.exit_code == 0
    *_, passed, covered = result.stdout.splitlines()
    assert passed.endswith(" passed, 0 failed")
    assert covered == "2 of 2 rules covered"


@pytest.mark.usefixtures("here")
class TestCheck:
    """`enforcer check` of a configuration without errors, unless a test adds one."""

    NOTES = "config.yaml:18:5: note: rules[2]: everybody is allowed: all methods of /health\n"
    WARNING = (
        'config.yaml:13:11: warning: rules[1].path: /tenants/{tenant}/ matches "all else" (config.yaml:21), '
        "which does not require issuer https://as.example.org and client_ids web and claim tenant and claim level; "
        "an app may treat both as the same: let its path be /tenants/{tenant}/**\n"
    )

    @pytest.fixture(autouse=True)
    def for_one_app(self, here: Path) -> None:
        """Require an audience, so that there is no warning about a missing one."""
        config = here / "config.yaml"
        config.write_text(config.read_text().replace("timeout: 5s", "audience: [shop]"))

    def all_else(self, here: Path) -> None:
        config = here / "config.yaml"
        text = config.read_text().replace("limits:", "  - {name: all else, path: /**, authenticated: true}\nlimits:")
        config.write_text(text)

    def test_notes_are_shown_and_pass_strict(self) -> None:
        """Notes are not warnings."""
        for options in ([], ["--strict"]):
            result = enforcer("check", *options, secret="x")
            assert (result.exit_code, result.stderr) == (0, self.NOTES)
            assert result.stdout.startswith("config.yaml: good; 3 rules, hash ")
            assert result.stdout.endswith(", 1 note\n")

    def test_a_warning_is_shown_and_fails_strict(self, here: Path) -> None:
        """With exit code 1, because the configuration is valid."""
        self.all_else(here)
        result = enforcer("check", secret="x")
        assert result.exit_code == 0
        assert self.WARNING in result.stderr
        assert result.stdout.endswith(", 4 notes, 1 warning\n")
        strict = enforcer("check", "--strict", secret="x")
        assert strict.exit_code == 1
        assert self.WARNING.replace("warning: ", "") in strict.stderr
        assert strict.stdout.startswith("config.yaml: refused by --strict; 4 rules, hash ")

    def test_secrets_are_needed_unless_they_are_left_out(self) -> None:
        """A machine that runs the checks of a policy has none."""
        without = enforcer("check")
        assert (without.exit_code, "ENFORCER_CLIENT_SECRET" in without.stderr) == (2, True)
        assert enforcer("check", "--no-secrets").exit_code == 0

    def test_files_of_tls_are_needed_unless_secrets_are_left_out(self) -> None:
        """A certificate is mounted from the same kind of place as a secret."""
        tls = ("--set", "listener.tls={certificate: tls.crt, key: tls.key}")
        assert "tls.crt" in enforcer("check", *tls, secret="x").stderr
        assert enforcer("check", "--no-secrets", *tls).exit_code == 0

    def test_json_is_one_object(self, here: Path) -> None:
        """With every finding."""
        self.all_else(here)
        report = json.loads(enforcer("check", "--format", "json", secret="x").stdout)
        assert (report["file"], report["usable"], report["rules"]) == ("config.yaml", True, 4)
        assert [(finding["level"], finding["code"], finding["line"]) for finding in report["findings"]] == [
            ("note", "methods_left_out", 10),
            ("warning", "weaker_around", 13),
            ("note", "refused_between", 13),
            ("note", "public", 18),
            ("note", "weaker_in_other_letters", 21),
        ]

    def test_github_gets_workflow_commands(self, here: Path) -> None:
        """With --strict, warnings are errors."""
        self.all_else(here)
        lines = enforcer("check", "--format", "github", "--strict", secret="x").stdout.splitlines()
        assert [line.partition(" ")[0] for line in lines] == ["::notice", "::error", "::notice", "::notice", "::notice"]
        assert lines[3] == (
            "::notice file=config.yaml,line=18,col=5::rules[2]: everybody is allowed: all methods of /health"
        )

    def test_errors_are_shown_in_every_format(self, here: Path) -> None:
        """With exit code 2."""
        (here / "config.yaml").write_text(CONFIG.replace("PORT", "1").replace("public: true", "pubic: true"))
        github = enforcer("check", "--format", "github", secret="x")
        assert (github.exit_code, github.stderr) == (2, "")
        assert github.stdout.splitlines()[-1] == (
            '::error file=config.yaml,line=20,col=5::rules[2]: unknown key "pubic"; did you mean "public"?'
        )
        report = json.loads(enforcer("check", "--format", "json", secret="x").stdout)
        assert (report["usable"], {finding["code"] for finding in report["findings"]}) == (False, {"mistake"})


class TestLearn:
    """`enforcer learn`."""

    LINE = json.dumps(
        {
            "time": "2026-11-23T16:25:00Z",
            "method": "GET",
            "path": "/orders/7",
            "route": "_none",
            "decision": "would_deny",
            "reason": "no_rule",
            "scopes": ["orders.read"],
            "client_id": "web",
        }
    )

    def test_the_proposed_rules_are_valid(self, here: Path) -> None:
        """They come from several logs, with other lines in between."""
        (here / "one.log").write_text(f"{self.LINE}\nstarted\n{'x' * 70_000}\n")
        (here / "two.log").write_text(self.LINE.replace("/7", "/8"))
        result = enforcer("learn", "one.log", "two.log")
        assert (result.exit_code, result.stderr) == (0, "")
        assert (
            result.stdout
            == """\
# Proposed from 2 decisions. Not every request that was sent should be
# allowed: review each rule before you use it, and give it a name that says what it is for.
# The rules allow 2 requests.
# Skipped, lines that are not decisions: 3

rules:
  # 2 requests, client web
  - name: GET /orders/{id}
    path: /orders/{id}
    methods: [GET]
    scopes: [orders.read]

"""
        )
        (here / "config.yaml").write_text(CONFIG.replace("PORT", "1").partition("rules:")[0] + result.stdout)
        assert enforcer("check", secret="x").exit_code == 0

    def test_a_log_can_come_from_standard_input(self) -> None:
        """For compressed logs."""
        assert "  - name: GET /orders/{id}\n" in enforcer("learn", "-", stdin=self.LINE).stdout

    @pytest.mark.parametrize("log", ["", "started\n", CONFIG])
    def test_a_log_without_a_decision_is_reported(self, log: str) -> None:
        """It is another file, or the enforcer logs no decisions: an empty proposal would hide it."""
        result = enforcer("learn", "-", stdin=log)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no decision in the log; run the enforcer with mode: report and log: {decisions: all}" in result.stderr

    def test_a_missing_log_has_exit_code_2(self) -> None:
        """It counts as wrong usage."""
        result = enforcer("learn", "no.log")
        assert (result.exit_code, result.stdout) == (2, "")


class TestImportOpenAPI:
    """`enforcer import-openapi`."""

    def test_the_proposal_passes_check_and_its_own_comparison(self, here: Path) -> None:
        """For a real document with 104 operations."""
        result = enforcer("import-openapi", str(OKTA))
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith(
            "# Proposed from Okta Admin Management. Change what is marked with yours, and review each rule before"
        )
        (here / "config.yaml").write_text(result.stdout)
        checked = enforcer("check", "--strict", secret="x")
        assert checked.exit_code == 0
        assert checked.stdout.startswith("config.yaml: good; 28 rules, hash ")
        compared = enforcer("import-openapi", str(OKTA), "--check", "config.yaml")
        assert (compared.exit_code, compared.stdout) == (
            0,
            "104 operations have a rule that requires as much, and each rule has an operation\n",
        )

    def test_operations_that_cannot_be_rules_are_reported(self, here: Path) -> None:
        """On standard error, and at the end of the file."""
        document = {"openapi": "3.0.3", "paths": {"/a/{b}{c}": {"get": {}}, "/a": {"get": {"security": []}}}}
        (here / "spec.json").write_text(json.dumps(document))
        result = enforcer("import-openapi", "spec.json")
        first, second, end = result.stderr.split("\n")
        assert (result.exit_code, end) == (0, "")
        assert first.startswith("spec.json: left out: GET /a/{b}{c}: ")
        assert second == "spec.json: 1 left out: no rule can have the path"
        left_out = first.removeprefix("spec.json: left out: ")
        heading = "Left out, and refused unless a line names a rule that matches:"
        assert result.stdout.endswith(f"    public: true\n\n# {heading}\n#   {left_out}\n")

    def test_keys_that_yaml_parsers_read_differently_are_reported(self, here: Path) -> None:
        """A null `security` inherits, the word null in quotes and a duplicate key are errors."""
        (here / "spec.yaml").write_text(
            "openapi: 3.1.0\nsecurity: [{o: [on]}]\ncomponents: {securitySchemes: {o: {type: oauth2}}}\npaths: {/a: {\n"
            " get: {security: }, put: {security: ~}, post: {security: 'null'}, delete: {security: [], security: []}}}\n"
        )
        result = enforcer("import-openapi", "spec.yaml")
        assert '    methods: [GET, PUT]\n    scopes: ["on"]\n' in result.stdout
        assert "public" not in result.stdout
        assert "POST /a: security is a text, not a list" in result.stderr
        assert "DELETE /a: security is a duplicate key, not a list" in result.stderr

    def test_references_lead_to_files_in_the_folder_only(self, here: Path) -> None:
        """Also through a symbolic link."""
        (here / "api").mkdir()
        item = '{"get": {"operationId": "found", "security": []}}'
        (here / "api" / "in.json").write_text(item)
        (here / "out.json").write_text(item)
        (here / "api" / "link.json").symlink_to(here / "out.json")
        (here / "api" / "spec.yaml").write_text(
            "openapi: 3.0.0\npaths: {/a: {$ref: in.json}, /b: {$ref: link.json}, /c: {$ref: no.json}}\n"
        )
        result = enforcer("import-openapi", "api/spec.yaml")
        assert yaml.safe_load(result.stdout)["rules"] == [
            {"name": "found", "path": "/a", "methods": ["GET"], "public": True}
        ]
        assert "all methods of /b: link.json leads out of the document's folder" in result.stderr
        assert "all methods of /c: no.json: cannot be read: No such file or directory" in result.stderr

    def test_a_document_is_read_from_standard_input(self) -> None:
        """It has no folder, and so no other files."""
        document = {"swagger": "2.0", "paths": {"/a": {"get": {"operationId": "a"}}, "/b": {"$ref": "b.json"}}}
        result = enforcer("import-openapi", "-", stdin=json.dumps(document))
        assert (result.exit_code, "path: /a\n" in result.stdout) == (0, True)
        assert "all methods of /b: a reference leads to another file, b.json" in result.stderr

    def test_differences_have_exit_code_1(self, here: Path) -> None:
        """Each operation without a rule, each weaker rule, and each rule without an operation is a line."""
        (here / "spec.yaml").write_text(
            "openapi: 3.1.0\npaths: {/a/b: {get: {}, put: {operationId: x}}, /health: {get: {}}, /b: {get: {}}}\n"
        )
        result = enforcer("import-openapi", "spec.yaml", "--check", "config.yaml")
        assert (result.exit_code, result.stderr) == (1, "")
        assert (
            result.stdout
            == """\
no rule matches PUT /a/b (x)
no rule matches GET /b (GET /b)
config.yaml:18: rule "health" does not require a token: GET /health (GET /health)
config.yaml:12: no operation matches rule "tenant"
"""
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("swagger: '1.2'\n", "not OpenAPI 2.0, 3.0, 3.1 or 3.2: found version 1.2"),
            ("openapi: [", "cannot be read: "),
            ("{", "Expecting property name"),
            ("\xff", "cannot be read: "),
            ("openapi: 3.0.0\npaths: {}\n", "no operation can be written as a rule"),
        ],
    )
    def test_an_invalid_document_has_exit_code_2(self, here: Path, text: str, message: str) -> None:
        """With one line on standard error."""
        (here / "spec.yaml").write_bytes(text.encode("latin-1"))
        result = enforcer("import-openapi", "spec.yaml")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert result.stderr.startswith("spec.yaml: ")
        assert message in result.stderr

    def test_a_missing_document_has_exit_code_2(self) -> None:
        """With one line on standard error."""
        result = enforcer("import-openapi", "no.yaml")
        assert (result.exit_code, result.stderr) == (2, "no.yaml: cannot be read: No such file or directory\n")
