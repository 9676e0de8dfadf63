"""Overrides: settings given on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.config.load import load, load_with_document
from enforcer.config.model import Config
from enforcer.config.overrides import Override, parse_override
from enforcer.errors import ConfigError

FILE = """\
log: {level: info}
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - {introspection_endpoint: http://127.0.0.1:8085/introspect, client_id: enforcer, client_secret: {env: SECRET}}
rules:
  - {name: all, path: /**, authenticated: true}
"""


def load_with(tmp_path: Path, *overrides: str, file: str = FILE) -> Config:
    """Load the file with overrides."""
    path = tmp_path / "config.yaml"
    path.write_text(file)
    return load(path, {"SECRET": "hunter2"}, [parse_override(text) for text in overrides]).config


def _written(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("log.level=debug", (("log", "level"), "debug")),
        ("limits.fields=10", (("limits", "fields"), 10)),
        ("forwarding.end_with_token=false", (("forwarding", "end_with_token"), False)),
        ("listener.address=:8091", (("listener", "address"), ":8091")),
        ("listener.address=[::1]:8091", (("listener", "address"), "[::1]:8091")),
        ("listener.address=[10.0.0.1,fd00::1]:8091", (("listener", "address"), "[10.0.0.1,fd00::1]:8091")),
        ('challenge.realm="1"', (("challenge", "realm"), "1")),
        ("challenge.realm=a=b", (("challenge", "realm"), "a=b")),
        ("challenge.realm=", (("challenge", "realm"), None)),
        ("challenge.realm=a\nb: c", (("challenge", "realm"), "a\nb: c")),
        ('rules=[{"name": "all", "path": "/**"}]', (("rules",), [{"name": "all", "path": "/**"}])),
    ],
)
def test_a_value_is_read_as_in_the_file(text: str, override: Override) -> None:
    """A value that is not valid YAML is text."""
    assert parse_override(text) == override


@pytest.mark.parametrize("text", ["", "log.level", "=debug", "log..level=debug", ".log=x", "rules[0]=x", "log level=x"])
def test_an_override_without_a_key_is_an_error(text: str) -> None:
    """The message has an example."""
    with pytest.raises(ValueError, match=r"^expected KEY=VALUE, such as listener\.address=:8091"):
        parse_override(text)


def test_an_override_replaces_the_files_value(tmp_path: Path) -> None:
    """The last of several overrides wins; the other keys of a section stay."""
    config = load_with(tmp_path, "log.level=error", "upstream.url=http://127.0.0.1:1", "log.level=debug")
    assert config.upstream is not None
    assert (config.log.level, config.upstream.url) == ("debug", "http://127.0.0.1:1")
    assert load_with(tmp_path, "log.format=json").log.level == "info"


def test_an_override_can_set_a_missing_key(tmp_path: Path) -> None:
    """Also a required one, which the file then does not need."""
    file = FILE.replace("upstream: {url: http://127.0.0.1:8090}", "listener:")
    config = load_with(tmp_path, "upstream.url=http://127.0.0.1:1", "listener.address=:1", file=file)
    assert config.upstream is not None
    assert (config.upstream.url, config.listener.address) == ("http://127.0.0.1:1", ":1")


def test_an_overridden_list_replaces_the_whole_list(tmp_path: Path) -> None:
    """Lists are not merged."""
    config = load_with(tmp_path, 'rules=[{"name": "one", "path": "/", "public": true}]')
    assert [rule.name for rule in config.rules] == ["one"]


def test_errors_in_overrides_have_a_key_and_no_line(tmp_path: Path) -> None:
    """The file does not contain them."""
    overrides = [
        *("log.level=loud", "cache.tll=5s", "nonsense=1", "upstream=app"),
        *('rules=[{"name": "x", "path": "/a", "public": true}, {"name": "x", "path": "/", "public": true}]',),
    ]
    with pytest.raises(ConfigError) as refused:
        load_with(tmp_path, *overrides)
    assert {(problem.path, problem.line, problem.column) for problem in refused.value.problems} == {
        ("log.level", 0, 0),
        ("cache", 0, 0),
        ("", 0, 0),
        ("upstream", 0, 0),
        ("rules[1]", 0, 0),
    }


def test_an_override_of_an_item_of_a_list_names_its_index(tmp_path: Path) -> None:
    """Items count from 0, and the other items and keys stay."""
    two = FILE + "  - {name: health, path: /health, public: true}\n"
    config = load_with(tmp_path, "rules.1.public=false", "rules.1.scopes=[admin]", "rules.0.path=/api/**", file=two)
    first, second = config.rules
    assert (first.name, first.path, first.authenticated) == ("all", "/api/**", True)
    assert (second.name, second.public, second.scopes) == ("health", False, ("admin",))
    assert load_with(tmp_path, "rules.0.scopes=[a, b]", "rules.0.authenticated=false", "rules.0.scopes.1=c").rules[
        0
    ].scopes == ("a", "c")


def test_an_override_changes_only_the_named_place_of_an_aliased_value(tmp_path: Path) -> None:
    """Another rule that is an alias of the same mapping stays as the file has it."""
    aliased = FILE.replace("- {name: all, path: /**", "- &all {name: all, path: /**, methods: [GET]") + (
        "  - {name: health, path: /health, public: true, methods: *methods}\n"
    )
    aliased = aliased.replace("methods: [GET]", "methods: &methods [GET]")
    config = load_with(tmp_path, "rules.0.methods.0=POST", file=aliased)
    assert [rule.methods for rule in config.rules] == [("POST",), ("GET",)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules.1.public=false", "rules is a list of 1, counted from 0, without an item 1"),
        ("rules.-1.public=false", "rules is a list of 1, counted from 0, without an item -1"),
        ("rules.all.public=false", "rules is a list of 1, counted from 0, without an item all"),
        ("rules.١.public=false", "rules is a list of 1, counted from 0, without an item ١"),
        ("upstream.url.x=1", 'upstream.url is "http://127.0.0.1:8090", not a mapping or list'),
        ("rules.0.name.first=x", 'rules.0.name is "all", not a mapping or list'),
    ],
)
def test_an_override_whose_key_leads_nowhere_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    """The operator would believe that the rule is closed."""
    key, _, value = text.partition("=")
    with pytest.raises(ConfigError) as refused:
        load(_written(tmp_path), {"SECRET": "hunter2"}, [Override(tuple(key.split(".")), value)])
    assert [str(problem) for problem in refused.value.problems] == [
        f"{tmp_path / 'config.yaml'}: {key}: cannot be overridden: {message}"
    ]


def test_a_section_that_is_not_a_mapping_is_an_error_at_its_line(tmp_path: Path) -> None:
    """A key cannot be set in it."""
    with pytest.raises(ConfigError) as refused:
        load_with(tmp_path, "log.level=debug", file=FILE.replace("{level: info}", "loud"))
    assert [(problem.line, problem.path) for problem in refused.value.problems] == [(0, "log.level"), (1, "log")]


def test_a_secret_cannot_be_an_override(tmp_path: Path) -> None:
    """Everybody who can list processes would see it."""
    with pytest.raises(ConfigError, match="a secret is never written here") as refused:
        load_with(tmp_path, "admin.credential=hunter2")
    assert "hunter2" not in str(refused.value)


def test_values_of_the_file_keep_their_positions(tmp_path: Path) -> None:
    """An override moves nothing."""
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    loaded, document = load_with_document(path, None, [parse_override("log.format=json")])
    assert loaded.config.log.format == "json"
    assert document.where(("rules", 0)) == (str(path), 6, 5)
