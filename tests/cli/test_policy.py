"""The policy's commands as a user meets them: explain, test, check, learn, import-openapi."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
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


def enforcer(*arguments: str, secret: str | None = None, given: str = "") -> Result:
    environment = {"ENFORCER_CLIENT_SECRET": secret}
    return CliRunner(env=environment).invoke(main, arguments, given, prog_name="enforcer")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the configuration, in which commands run."""
    (tmp_path / "config.yaml").write_text(CONFIG.replace("PORT", "1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
class TestExplain:
    """`enforcer explain`."""

    def test_it_tells_why_and_ends_with_1_where_the_request_is_refused(self) -> None:
        """Without a token, and without the secret."""
        ended = enforcer("explain", "GET", "/a/b", "--host", "shop.example.org")
        assert (ended.exit_code, ended.stderr) == (1, "")
        assert (
            ended.stdout
            == """\
GET /a/b  host shop.example.org
path: /a/b

rules with this path, the most specific first:
  ✓  "read"  config.yaml:8  /a/**  chosen

conditions of rule "read":
  ✗  token   needed: an access token  there: none
  ✗  state   needed: active           there: nothing
  ✗  scopes  needed: a.read           there: nothing is known

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
            (["/a/../b"], 1, "malformed_request"),
        ],
    )
    def test_it_ends_with_0_where_the_request_is_allowed(self, arguments: list[str], code: int, reason: str) -> None:
        """For scripts."""
        ended = enforcer("explain", "GET", *arguments, "--json")
        assert (ended.exit_code, json.loads(ended.stdout)["judgement"]["reason"]) == (code, reason)

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
    def test_the_facts_of_a_token_can_be_stated(self, left_out: str, reason: str) -> None:
        """Each by its option; a claim's value is JSON where it is."""
        options = "--audience shop --issuer https://as.example.org --client-id web --claim tenant=acme --claim level=2"
        ended = enforcer("explain", "POST", "/tenants/acme", "--json", *options.replace(left_out, "").split())
        assert json.loads(ended.stdout)["judgement"]["reason"] == reason

    def test_the_subject_can_be_stated(self, here: Path) -> None:
        """It is the claim `sub`."""
        config = here / "config.yaml"
        config.write_text(config.read_text().replace("scopes: [a.read]", "claims: {sub: alice}"))
        assert enforcer("explain", "GET", "/a", "--subject", "alice").exit_code == 0
        assert enforcer("explain", "GET", "/a", "--subject", "bob").exit_code == 1

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "Missing argument 'METHOD'"),
            (["GET", "/a", "--claim", "x"], "--claim x: expected NAME=VALUE"),
            (["GET", "/a", "--claim", "scope=x"], "claims: scope has a key of its own"),
            (["GET", "/a", "--token", "x", "--scope", "y"], "--token says all of a token"),
            (["get", "/a"], "METHOD comes before PATH, in capitals"),
            (["/a", "GET"], "METHOD comes before PATH, in capitals"),
        ],
    )
    def test_wrong_use_ends_with_2(self, arguments: list[str], said: str) -> None:
        """And tells what is wrong."""
        ended = enforcer("explain", *arguments)
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert said in ended.stderr

    def test_a_wrong_configuration_ends_with_2(self, here: Path) -> None:
        """With its mistakes."""
        (here / "config.yaml").write_text("rules: 1\n")
        ended = enforcer("explain", "GET", "/a")
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert "config.yaml:1:8: rules: expected a list, found 1" in ended.stderr


@pytest.fixture(scope="module")
def auth() -> Iterator[Server]:
    with introspection_server({"good": {"scope": "a.read", "sub": "alice"}}) as server:
        yield server


class TestExplainWithToken:
    """`enforcer explain --token`."""

    def explained(self, here: Path, port: int, target: str, token: str, given: str = "") -> tuple[Result, int]:
        (here / "config.yaml").write_text(CONFIG.replace("PORT", str(port)))
        ended = enforcer("explain", "GET", target, "--json", "--token", token, secret="hunter2", given=given)
        assert token == "-" or token not in ended.output
        return ended, ended.exit_code

    @pytest.mark.parametrize(
        ("target", "token", "reason", "asked"),
        [
            ("/a", "good", "ok", 1),
            ("/a", "bad", "inactive_token", 1),
            ("/a", "no token", "invalid_request", 0),
            ("/a", "n\u00f6", "malformed_token", 0),
            ("/a?access_token=x", "good", "invalid_request", 0),
            ("/a", "x" * 65, "malformed_request", 0),
            ("/health", "good", "public", 0),
            ("/nowhere", "good", "no_rule", 0),
        ],
    )
    def test_the_authorization_server_is_asked_where_the_enforcer_would(
        self, here: Path, auth: Server, target: str, token: str, reason: str, asked: int
    ) -> None:
        """And only there; the token is shown nowhere."""
        auth.requests.clear()
        ended, _ = self.explained(here, auth.port, target, token)
        assert json.loads(ended.stdout)["judgement"]["reason"] == reason
        assert len(auth.requests) == asked

    def test_a_token_can_come_from_standard_input(self, here: Path, auth: Server) -> None:
        """Where no list of processes shows it."""
        ended, code = self.explained(here, auth.port, "/a", "-", given="good\n")
        assert code == 0
        assert "good" not in ended.output

    def test_when_the_server_does_not_answer_that_is_told(self, here: Path) -> None:
        """With the answer that clients get."""
        with raw_server(lambda head, body: b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n") as broken:
            ended, code = self.explained(here, broken.port, "/a", "good")
        told = json.loads(ended.stdout)["judgement"]
        assert (code, told["decision"], told["reason"]) == (1, "error", "introspection_unavailable")
        assert (told["reply"]["status"], told["reply"]["retry_after"]) == (503, 5)
        assert ended.stderr == "authorization server default: unavailable: it answered 500\n"


TESTS = """\
tests:
  - {name: open, request: GET /health, expect: allow}
  - name: shut
    request: GET /a
    expect: EXPECTED
"""


def test_a_real_document_of_hundreds_of_operations_becomes_a_configuration_that_check_accepts(here: Path) -> None:
    """As it is written, and with an operation for each rule."""
    proposed = enforcer("import-openapi", str(OKTA))
    assert proposed.exit_code == 0
    (here / "config.yaml").write_text(proposed.stdout, "utf-8")
    checked = enforcer("check", "--format", "json", secret="hunter2")
    told = json.loads(checked.stdout)
    assert (checked.exit_code, told["usable"]) == (0, True)
    assert told["rules"] > 300
    assert {one["level"] for one in told["findings"]} <= {"warning", "note"}
    compared = enforcer("import-openapi", str(OKTA), "--check", "config.yaml")
    assert (compared.exit_code, compared.stdout) == (0, "585 operations, and each rule is for one of them\n")


RESOLVED = """\
GET /orders/7  host app.example.org
path: /orders/7

rules with this path, the most specific first:
  ✓  "orders"  rules/orders.yaml:2  /orders/{id}  chosen

conditions of rule "orders":
  ✓  token       needed: an access token                    there: one
  ✓  state       needed: active                             there: active
  ✓  time        needed: valid now                          there: no end is stated
  ✓  issuer      needed: https://as.example.org             there: https://as.example.org
  ✗  scopes      needed: all of orders.read, profile, mail  there: orders.read
  ✓  client_ids  needed: web                                there: web

decision: deny, insufficient_scope
answer: 403, the token lacks a scope; needed: mail orders.read profile
  WWW-Authenticate: Bearer error="insufficient_scope", scope="mail orders.read profile"
"""


def test_explain_shows_what_counts_and_where_the_rule_stands(here: Path) -> None:
    """Of defaults, sets and several files."""
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
    ended = enforcer("explain", "GET", "/orders/7", "--host", "app.example.org", *facts)
    assert (ended.exit_code, ended.stdout) == (1, RESOLVED)


@pytest.mark.usefixtures("here")
class TestTest:
    """`enforcer test`."""

    def test_it_counts_what_passed_and_tells_what_is_not_covered(self, here: Path) -> None:
        """And ends with 0."""
        (here / "tests.yaml").write_text(TESTS.replace("EXPECTED", "deny"))
        ended = enforcer("test", "tests.yaml")
        assert (ended.exit_code, ended.stderr) == (0, "")
        assert (
            ended.stdout
            == """\
2 tests: 2 passed, 0 failed
1 of 3 rules covered
config.yaml:8: rule "read" is never allowed
config.yaml:12: rule "tenant" is never allowed or denied
"""
        )
        assert enforcer("test", "tests.yaml", "--no-coverage").stdout == "2 tests: 2 passed, 0 failed\n"

    def test_a_failure_is_told_with_what_led_to_it(self, here: Path) -> None:
        """And ends with 1; CI gets it as JUnit XML."""
        (here / "tests.yaml").write_text(TESTS.replace("EXPECTED", "allow"))
        ended = enforcer("test", "tests.yaml", "--no-coverage", "--junit", "out.xml")
        assert (ended.exit_code, ended.stderr) == (1, "")
        assert (
            ended.stdout
            == """\
tests.yaml:3: shut
  decision: expected allow, got deny

  GET /a
  path: /a

  rules with this path, the most specific first:
    ✓  "read"  config.yaml:8  /a/**  chosen

  conditions of rule "read":
    ✗  token   needed: an access token  there: none
    ✗  state   needed: active           there: nothing
    ✗  scopes  needed: a.read           there: nothing is known

  decision: deny, missing_token
  answer: 401, an access token is needed
    WWW-Authenticate: Bearer

2 tests: 1 passed, 1 failed
"""
        )
        suite = ElementTree.parse(here / "out.xml").getroot()[0]
        assert (suite.get("tests"), suite.get("failures")) == ("2", "1")

    def test_several_files_are_one_run(self, here: Path) -> None:
        """Their tests may bear the same names."""
        for name in ("one.yaml", "two.yaml"):
            (here / name).write_text(TESTS.replace("EXPECTED", "deny"))
        assert enforcer("test", "one.yaml", "two.yaml").stdout.startswith("4 tests: 4 passed, 0 failed\n")

    def test_a_wrong_file_ends_with_2(self, here: Path) -> None:
        """Before any test is run."""
        (here / "tests.yaml").write_text(TESTS)
        ended = enforcer("test", "tests.yaml")
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert (
            ended.stderr == 'tests.yaml:5:13: tests[1].expect: expected allow, deny or would_deny, found "EXPECTED"\n'
        )

    def test_what_only_reports_can_be_judged_as_if_it_refused(self, here: Path) -> None:
        """So that the tests are ready before the policy is enforced."""
        (here / "config.yaml").write_text(CONFIG.replace("PORT", "1") + "mode: report\n")
        (here / "tests.yaml").write_text("tests: [{name: none, request: GET /a, expect: deny, status: 401}]\n")
        ended = enforcer("test", "tests.yaml", "--no-coverage")
        assert (ended.exit_code, "decision: expected deny, got would_deny" in ended.stdout) == (1, True)
        ended = enforcer("test", "tests.yaml", "--no-coverage", "--enforced")
        assert (ended.exit_code, ended.stdout) == (0, "1 test: 1 passed, 0 failed\n")

    def test_a_report_that_cannot_be_written_is_told(self, here: Path) -> None:
        """In one line."""
        (here / "tests.yaml").write_text(TESTS.replace("EXPECTED", "deny"))
        ended = enforcer("test", "tests.yaml", "--junit", "no/out.xml")
        assert (ended.exit_code, ended.stderr) == (1, "Error: no/out.xml: No such file or directory\n")


def test_the_projects_own_tests_pass_and_cover_every_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes with config.yaml."""
    monkeypatch.chdir(ROOT)
    ended = enforcer("test", "policy-tests.yaml")
    assert ended.exit_code == 0
    *_, passed, covered = ended.stdout.splitlines()
    assert passed.endswith(" passed, 0 failed")
    assert covered == "2 of 2 rules covered"


@pytest.mark.usefixtures("here")
class TestCheck:
    """`enforcer check`, where there is no mistake."""

    NOTES = "config.yaml:18:5: note: rules[2]: everybody may pass: all methods of /health\n"
    WARNING = (
        'config.yaml:13:11: warning: rules[1].path: /tenants/{tenant}/ falls under "all else" (config.yaml:21), '
        "which asks for less; an app may take both for the same\n"
    )

    @pytest.fixture(autouse=True)
    def for_one_app(self, here: Path) -> None:
        """Ask for an audience, so that there is nothing to say about that."""
        config = here / "config.yaml"
        config.write_text(config.read_text().replace("timeout: 5s", "audience: [shop]"))

    def all_else(self, here: Path) -> None:
        config = here / "config.yaml"
        text = config.read_text().replace("limits:", "  - {name: all else, path: /**, authenticated: true}\nlimits:")
        config.write_text(text)

    def test_notes_are_told_and_strict_passes(self) -> None:
        """They are no warnings."""
        for options in ([], ["--strict"]):
            ended = enforcer("check", *options, secret="x")
            assert (ended.exit_code, ended.stderr) == (0, self.NOTES)
            assert ended.stdout.startswith("config.yaml: good; 3 rules, hash ")
            assert ended.stdout.endswith(", 1 note\n")

    def test_a_warning_is_told_and_strict_refuses(self, here: Path) -> None:
        """With 1: the configuration could be used."""
        self.all_else(here)
        ended = enforcer("check", secret="x")
        assert ended.exit_code == 0
        assert self.WARNING in ended.stderr
        assert ended.stdout.endswith(", 3 notes, 1 warning\n")
        strict = enforcer("check", "--strict", secret="x")
        assert strict.exit_code == 1
        assert self.WARNING.replace("warning: ", "") in strict.stderr
        assert strict.stdout.startswith("config.yaml: refused by --strict; 4 rules, hash ")

    def test_programs_get_one_object(self, here: Path) -> None:
        """With every finding."""
        self.all_else(here)
        told = json.loads(enforcer("check", "--format", "json", secret="x").stdout)
        assert (told["file"], told["usable"], told["rules"]) == ("config.yaml", True, 4)
        assert [(one["level"], one["code"], one["line"]) for one in told["findings"]] == [
            ("note", "methods_left_out", 10),
            ("warning", "weaker_around", 13),
            ("note", "public", 18),
            ("note", "weaker_in_other_letters", 21),
        ]

    def test_github_gets_commands(self, here: Path) -> None:
        """Warnings as errors where they are."""
        self.all_else(here)
        lines = enforcer("check", "--format", "github", "--strict", secret="x").stdout.splitlines()
        assert [line.partition(" ")[0] for line in lines] == ["::notice", "::error", "::notice", "::notice"]
        assert lines[2] == (
            "::notice file=config.yaml,line=18,col=5::rules[2]: everybody may pass: all methods of /health"
        )

    def test_mistakes_come_in_every_format(self, here: Path) -> None:
        """And end with 2."""
        (here / "config.yaml").write_text(CONFIG.replace("PORT", "1").replace("public: true", "pubic: true"))
        github = enforcer("check", "--format", "github", secret="x")
        assert (github.exit_code, github.stderr) == (2, "")
        assert github.stdout.splitlines()[-1] == (
            '::error file=config.yaml,line=20,col=5::rules[2]: unknown key "pubic"; did you mean "public"?'
        )
        told = json.loads(enforcer("check", "--format", "json", secret="x").stdout)
        assert (told["usable"], {one["code"] for one in told["findings"]}) == (False, {"mistake"})


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

    def test_it_proposes_rules_that_a_configuration_can_have(self, here: Path) -> None:
        """From several logs, with other lines between."""
        (here / "one.log").write_text(f"{self.LINE}\nstarted\n{'x' * 70_000}\n")
        (here / "two.log").write_text(self.LINE.replace("/7", "/8"))
        ended = enforcer("learn", "one.log", "two.log")
        assert (ended.exit_code, ended.stderr) == (0, "")
        assert (
            ended.stdout
            == """\
# Proposed from 2 decisions. What was asked is not what should be allowed:
# look at each rule before you use it, and give it a name that says what it is for.
# Left out, lines that are no decisions: 3

rules:
  # 2 requests, client web
  - name: GET /orders/{id}
    path: /orders/{id}
    methods: [GET]
    scopes: [orders.read]

"""
        )
        (here / "config.yaml").write_text(CONFIG.replace("PORT", "1").partition("rules:")[0] + ended.stdout)
        assert enforcer("check", secret="x").exit_code == 0

    def test_a_log_can_come_from_standard_input(self) -> None:
        """For those that are packed."""
        assert "  - name: GET /orders/{id}\n" in enforcer("learn", "-", given=self.LINE).stdout

    def test_a_log_that_is_not_there_ends_with_2(self) -> None:
        """It is wrong use."""
        ended = enforcer("learn", "no.log")
        assert (ended.exit_code, ended.stdout) == (2, "")


class TestImportOpenAPI:
    """`enforcer import-openapi`."""

    def test_what_it_proposes_passes_check_and_its_own_comparison(self, here: Path) -> None:
        """For a real document of 585 operations."""
        ended = enforcer("import-openapi", str(OKTA))
        assert (ended.exit_code, ended.stderr) == (0, "")
        assert ended.stdout.startswith(
            "# Proposed from Okta Admin Management. Change what is marked with yours, and look at each rule before"
        )
        (here / "config.yaml").write_text(ended.stdout)
        checked = enforcer("check", "--strict", secret="x")
        assert checked.exit_code == 0
        assert checked.stdout.startswith("config.yaml: good; 513 rules, hash ")
        compared = enforcer("import-openapi", str(OKTA), "--check", "config.yaml")
        assert (compared.exit_code, compared.stdout) == (0, "585 operations, and each rule is for one of them\n")

    def test_what_no_rule_can_say_is_told_and_noted(self, here: Path) -> None:
        """On standard error, and at the end of the file."""
        document = {"openapi": "3.0.3", "paths": {"/a/{b}.json": {"get": {}}, "/a": {"get": {"security": []}}}}
        (here / "spec.json").write_text(json.dumps(document))
        ended = enforcer("import-openapi", "spec.json")
        left_out = "GET /a/{b}.json: {b}.json varies in part, and in a rule a whole segment does"
        assert (ended.exit_code, ended.stderr) == (0, f"spec.json: left out: {left_out}\n")
        assert ended.stdout.endswith(f"    public: true\n\n# Left out, and so refused:\n#   {left_out}\n")

    def test_operations_without_a_rule_and_rules_without_an_operation_end_with_1(self, here: Path) -> None:
        """Each in a line."""
        (here / "spec.yaml").write_text(
            "openapi: 3.1.0\npaths: {/a/b: {get: {}, put: {operationId: x}}, /health: {get: {}}, /b: {get: {}}}\n"
        )
        ended = enforcer("import-openapi", "spec.yaml", "--check", "config.yaml")
        assert (ended.exit_code, ended.stderr) == (1, "")
        assert (
            ended.stdout
            == """\
no rule is for PUT /a/b (x)
no rule is for GET /b (GET /b)
config.yaml:12: no operation is for rule "tenant"
"""
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("swagger: '2.0'\n", "not OpenAPI 3.0 or 3.1: it says openapi: nothing"),
            ("openapi: [", "cannot be read: "),
            ("{", "Expecting property name"),
            ("\xff", "cannot be read: "),
            ("openapi: 3.0.0\npaths: {}\n", "there is no operation that a rule can be for"),
        ],
    )
    def test_a_wrong_document_ends_with_2(self, here: Path, text: str, said: str) -> None:
        """In one line."""
        (here / "spec.yaml").write_bytes(text.encode("latin-1"))
        ended = enforcer("import-openapi", "spec.yaml")
        assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert ended.stderr.startswith("spec.yaml: ")
        assert said in ended.stderr

    def test_a_missing_document_ends_with_2(self) -> None:
        """In one line."""
        ended = enforcer("import-openapi", "no.yaml")
        assert (ended.exit_code, ended.stderr) == (2, "no.yaml: cannot be read: No such file or directory\n")
