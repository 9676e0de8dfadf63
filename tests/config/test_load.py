"""Loading a configuration, or reporting all its errors.

`mistakes/` holds a file for each error and, beside it, the exact message.
"""

from __future__ import annotations

import copy
import cProfile
import json
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.configs import secret_of
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.config.documents.sources import Files, signature
from enforcer.config.load import Loaded, load, load_with_document
from enforcer.config.schema import shape
from enforcer.errors import ConfigError, Problem

MISTAKES = Path(__file__).parent / "mistakes"
FILES = sorted(path.name for path in MISTAKES.glob("*.yaml"))
ENVIRONMENT = {"SECRET": "hunter2", "EMPTY": ""}
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", FILES)
def test_each_error_has_its_position_and_shows_no_secret(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole text is compared: all problems of the file, in order of line."""
    monkeypatch.chdir(MISTAKES)
    with pytest.raises(ConfigError) as refused:
        load(Path(file), ENVIRONMENT)
    assert f"{refused.value}\n" == Path(file).with_suffix(".txt").read_text(encoding="utf-8")
    assert "hunter2" not in str(refused.value)


def test_every_invalid_file_has_its_message() -> None:
    """With an empty folder, every test above would pass."""
    assert len(FILES) > 50
    assert {Path(file).stem for file in FILES} == {path.stem for path in MISTAKES.glob("*.txt")}


def test_errors_of_different_kinds_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run is enough to correct all of them."""
    monkeypatch.chdir(MISTAKES)
    with pytest.raises(ConfigError) as refused:
        load(Path("four-at-once.yaml"), {})
    assert [(problem.line, problem.column, problem.path, problem.message) for problem in refused.value.problems] == [
        (6, 5, "authorization_servers[0].client_secret", 'the environment variable "NOT_SET" is not set'),
        (8, 11, "limits.fields", 'expected a whole number of at least 1, found "ten"'),
        (12, 5, "rules[0]", 'unknown key "methds"; did you mean "methods"?'),
        (18, 5, "rules[1]", 'duplicate key "scopes"; first used at four-at-once.yaml:17:5'),
    ]


def test_the_example_configuration_is_valid() -> None:
    """The file that comes with the product, with the one secret that it names."""
    loaded = load(ROOT / "config.yaml", {"ENFORCER_CLIENT_SECRET": "hunter2"})
    assert [(rule.name, rule.methods, rule.scopes) for rule in loaded.config.rules] == [
        ("read countries", ("GET",), ("country.read",)),
        ("write countries", ("POST", "PUT", "DELETE"), ("country.write",)),
    ]
    assert secret_of(loaded.config.authorization_servers[0]) == "hunter2"


def test_loaded_has_the_hash_and_the_files(loads: Callable[..., Loaded], tmp_path: Path) -> None:
    """The hash identifies the configuration in force; a change of any of the files causes a reload."""
    (tmp_path / "secret").write_text("hunter2\n")
    loaded = loads(changed={"env: SECRET": "file: secret"})
    assert loaded.hash == sha256((tmp_path / "config.yaml").read_bytes()).hexdigest()[:16]
    assert loaded.files.keys() == {tmp_path / "config.yaml", tmp_path / "secret"}


def test_the_files_are_known_even_if_loading_fails(tmp_path: Path) -> None:
    """Each with its signature, or None if it is missing: it may appear later, and is then worth a reload."""
    path = tmp_path / "config.yaml"
    text = (ROOT / "config.yaml").read_text("utf-8")
    path.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: secret}"), "utf-8")
    files: Files = {}
    with pytest.raises(ConfigError):
        load_with_document(path, {}, files=files)
    assert files == {path: signature(path), tmp_path / "secret": None}
    assert files[path] is not None


def test_the_files_are_absolute_paths(
    loads: Callable[..., Loaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory may change later."""
    loads()
    monkeypatch.chdir(tmp_path)
    assert load(Path("config.yaml"), ENVIRONMENT).files.keys() == {tmp_path / "config.yaml"}


@pytest.mark.parametrize(("name", "reason"), [("nowhere.yaml", "No such file or directory"), ("", "Is a directory")])
def test_a_configuration_that_cannot_be_read_is_one_problem(tmp_path: Path, name: str, reason: str) -> None:
    """The message names the file as it was given."""
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / name, {})
    assert str(refused.value) == f"{tmp_path / name}: cannot be read: {reason}"


def test_a_configuration_is_at_most_16_mib(tmp_path: Path) -> None:
    """A wrong file given by mistake must not fill the memory."""
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.truncate(16 * 1024**2 + 1)
    with pytest.raises(ConfigError, match="is larger than 16777216 bytes"):
        load(path, {})


def test_the_work_of_a_load_is_linear_in_the_number_of_rules(loads: Callable[..., Loaded]) -> None:
    """Generated configurations are large: twice as many rules take about twice as many calls, not four times."""

    def calls(rules: int) -> int:
        text = "".join(
            f"  - name: rule {number}\n    path: /service/{{tenant}}/things{number}/**\n    methods: [GET, POST]\n"
            f'    scopes: [things.read]\n    claims: {{tenant: "{{tenant}}"}}\n    max_answer_age: 5s\n'
            for number in range(rules)
        )
        profile = cProfile.Profile()
        loaded = profile.runcall(loads, text)
        assert len(loaded.config.rules) == rules + 1
        return sum(entry.callcount for entry in profile.getstats())

    loads("")  # what is made once is made
    assert calls(2_000) < 2.2 * calls(1_000)


def loads_or_raises_config_error(data: bytes) -> None:
    """Load bytes as a file; any exception but ConfigError fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(data)
        problems: tuple[Problem, ...] = ()
        try:
            load(path, ENVIRONMENT)
        except ConfigError as error:
            problems = error.problems
        assert all((problem.path + problem.message).isprintable() for problem in problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_a_config_error(data: bytes) -> None:
    """A file may contain anything."""
    loads_or_raises_config_error(data)


@given(st.text(alphabet=":-?*&!<>[]{}|#%@`\"', \t\nab1.~\u0085\ufeff", max_size=60))
@settings(max_examples=300)
def test_any_text_of_yaml_syntax_is_a_configuration_or_a_config_error(text: str) -> None:
    """Most random bytes are not YAML; these often are."""
    loads_or_raises_config_error(text.encode())


KEYS = st.sampled_from([*shape().keys(()), *shape().keys(("rules", 0)), *shape().keys(("authorization_servers", 0))])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["5s", "/a", "1KiB"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=4)
)
RULES = st.lists(st.dictionaries(st.sampled_from([*shape().keys(("rules", 0))]), VALUES) | VALUES, max_size=3)


@given(st.dictionaries(KEYS, VALUES), RULES)
def test_any_values_at_known_keys_are_a_configuration_or_a_config_error(
    sections: dict[str, object], rules: object
) -> None:
    """Valid YAML may be invalid in every other way."""
    loads_or_raises_config_error(yaml.safe_dump(sections | {"rules": rules}).encode())


def test_without_an_environment_no_secret_is_read(tmp_path: Path) -> None:
    """Analysing a policy needs none; the place must be valid nevertheless."""
    path = tmp_path / "config.yaml"
    text = (ROOT / "config.yaml").read_text("utf-8")
    path.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: nowhere}"), "utf-8")
    loaded, document = load_with_document(path, None)
    assert secret_of(loaded.config.authorization_servers[0]) == ""
    assert loaded.files.keys() == {path}
    assert text.splitlines()[document.where(("rules", 0))[1] - 1].startswith("  - name: read countries")
    path.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: nowhere, env: NOWHERE}"), "utf-8")
    with pytest.raises(ConfigError, match="a secret has one place"):
        load_with_document(path, None)


RICH: dict[str, Any] = {
    "listener": {"address": ":8091"},
    "admin": {"credential": {"env": "SECRET"}},
    "upstream": {"url": "http://127.0.0.1:8090", "pool": {"connections": 5}},
    "upstreams": {"other": {"url": "unix:/run/app"}},
    "authorization_servers": [
        {"name": "one", "issuer": "https://a.example", "client_id": "x", "client_secret": {"env": "SECRET"}},
        {"name": "two", "issuer": "https://b.example", "verify": "jwt", "scope_claims": ["a.b"]},
    ],
    "forwarding": {"identity": {"X-A": "sub"}, "trusted_proxies": ["10.0.0.0/8"]},
    "cors": {"origins": ["https://web.example"]},
    "resources": [{"resource": "https://api.example/a"}],
    "decision": [{"address": ":8092", "contract": "nginx", "secret": {"env": "SECRET"}}],
    "limits": {"unseen_tokens": {"rate": 5}},
    "scope_sets": {"set": ["a"]},
    "scope_implies": {"write": ["read"]},
    "rule_defaults": {"token_from": {"bearer": True, "cookie": "t"}, "claims": {"tenant": "t"}},
    "rules": [
        {"name": "a", "path": "/a/**", "scopes": ["$set"], "authorization_server": ["one", "two"], "query": {"q": "1"}},
        {"name": "b", "paths": ["/b/{id}"], "any_of": [{"claims": {"sub": "{id}"}}], "upstream": "other"},
        {"name": "c", "path": "/c", "public": True, "host": "*.example.org", "cors_preflight": "answer"},
    ],
}
"""A valid configuration with sections of most kinds."""


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        yield (*path, step)
        yield from _paths(member, (*path, step))


def _with(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    document = copy.deepcopy(RICH)
    parent: Any = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return document


@pytest.mark.parametrize("odd", [None, {}, "x y"], ids=repr)
def test_an_odd_value_anywhere_is_an_error_at_a_place_or_valid(tmp_path: Path, odd: object) -> None:
    """Never another exception: a check that runs although another has failed may get what no valid document has."""
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(RICH))
    load(file, ENVIRONMENT)
    lines: list[int] = []
    for path in _paths(RICH):
        file.write_text(json.dumps(_with(path, odd)))
        try:
            load(file, ENVIRONMENT)
        except ConfigError as error:
            lines += [problem.line for problem in error.problems]
    assert lines
    assert set(lines) == {1}
