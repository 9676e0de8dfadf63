"""Settings that are said beside the file."""

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


def loaded(tmp_path: Path, *said: str, file: str = FILE) -> Config:
    """Load the file with what is said beside it."""
    path = tmp_path / "config.yaml"
    path.write_text(file)
    return load(path, {"SECRET": "hunter2"}, [parse_override(one) for one in said]).config


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
    """And is text where it is no YAML."""
    assert parse_override(text) == override


@pytest.mark.parametrize("text", ["", "log.level", "=debug", "log..level=debug", ".log=x", "rules[0]=x", "log level=x"])
def test_what_names_no_setting_is_refused(text: str) -> None:
    """With an example of what would."""
    with pytest.raises(ValueError, match=r"^expected KEY=VALUE, such as listener\.address=:8091"):
        parse_override(text)


def test_it_counts_instead_of_what_the_file_says(tmp_path: Path) -> None:
    """And the last one of several; the rest of a section stays."""
    config = loaded(tmp_path, "log.level=error", "upstream.url=http://127.0.0.1:1", "log.level=debug")
    assert config.upstream is not None
    assert (config.log.level, config.upstream.url) == ("debug", "http://127.0.0.1:1")
    assert loaded(tmp_path, "log.format=json").log.level == "info"


def test_it_counts_where_the_file_says_nothing(tmp_path: Path) -> None:
    """Then what is required need not stand there."""
    file = FILE.replace("upstream: {url: http://127.0.0.1:8090}", "listener:")
    config = loaded(tmp_path, "upstream.url=http://127.0.0.1:1", "listener.address=:1", file=file)
    assert config.upstream is not None
    assert (config.upstream.url, config.listener.address) == ("http://127.0.0.1:1", ":1")


def test_a_list_takes_the_place_of_the_files(tmp_path: Path) -> None:
    """MergedDocument."""
    config = loaded(tmp_path, 'rules=[{"name": "one", "path": "/", "public": true}]')
    assert [rule.name for rule in config.rules] == ["one"]


def test_mistakes_are_told_by_their_key(tmp_path: Path) -> None:
    """They have no line: the file does not hold them."""
    said = [
        *("log.level=loud", "cache.tll=5s", "nonsense=1", "upstream=app"),
        *('rules=[{"name": "x", "path": "/a", "public": true}, {"name": "x", "path": "/", "public": true}]',),
    ]
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, *said)
    assert {(problem.path, problem.line, problem.column) for problem in refused.value.problems} == {
        ("log.level", 0, 0),
        ("cache", 0, 0),
        ("", 0, 0),
        ("upstream", 0, 0),
        ("rules[1]", 0, 0),
    }


def test_a_section_that_is_none_is_told_as_it_stands(tmp_path: Path) -> None:
    """Nothing can be put into it."""
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, "log.level=debug", file=FILE.replace("{level: info}", "loud"))
    assert [(problem.line, problem.path) for problem in refused.value.problems] == [(1, "log")]


def test_a_secret_is_not_said_here_either(tmp_path: Path) -> None:
    """It would be seen by everybody who can list processes."""
    with pytest.raises(ConfigError, match="a secret is never written here") as refused:
        loaded(tmp_path, "admin.credential=hunter2")
    assert "hunter2" not in str(refused.value)


def test_the_file_that_is_checked_is_the_one_that_is_used(tmp_path: Path) -> None:
    """Those who look at places find those of the file."""
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    found, document = load_with_document(path, None, [parse_override("log.format=json")])
    assert found.config.log.format == "json"
    assert document.where(("rules", 0)) == (str(path), 6, 5)
