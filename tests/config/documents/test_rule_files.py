"""Rule files: which files an entry names, how they are read, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from enforcer.config.documents.rule_files import MAX_BYTES
from enforcer.config.load import Loaded, load
from enforcer.errors import ConfigError

Loads = Callable[..., Loaded]


def write(folder: Path, *names: str) -> None:
    """Write a file for each name, with one rule of the same name."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"rules:\n  - {{name: {name}, path: /{name}, authenticated: true}}\n")


def names(loaded: Loaded) -> list[str]:
    return [rule.name for rule in loaded.config.rules]


@pytest.mark.parametrize(
    ("entries", "files"),
    [
        ("[r/b.yaml, r/a.yaml]", ["r/b.yaml", "r/a.yaml"]),
        ("[r]", ["r/a.yaml", "r/b.yaml", "r/c.yml"]),
        ("[r/]", ["r/a.yaml", "r/b.yaml", "r/c.yml"]),
        ("[r/*.yaml]", ["r/a.yaml", "r/b.yaml"]),
        ("[r/?.yml, 'r/[ab].yaml']", ["r/c.yml", "r/a.yaml", "r/b.yaml"]),
        ("[r/b.yaml, r]", ["r/b.yaml", "r/a.yaml", "r/c.yml"]),
        ("[r/d.txt]", ["r/d.txt"]),
        ("['*.yaml']", ["top.yaml"]),
        ("[]", []),
    ],
)
def test_an_entry_is_a_file_a_folder_or_a_pattern(loads: Loads, tmp_path: Path, entries: str, files: list[str]) -> None:
    """In order of entries, then of names; each file is read once, and the configuration itself never."""
    write(tmp_path, "r/b.yaml", "r/a.yaml", "r/c.yml", "r/d.txt", "r/.hidden.yaml", "r/inner/e.yaml", "top.yaml")
    assert names(loads(f"rule_files: {entries}\n")) == ["all", *files]


def test_a_mounted_configmap_is_read_as_a_folder(loads: Loads, tmp_path: Path) -> None:
    """Kubernetes mounts links into a folder `..data`, and replaces that folder on an update."""
    write(tmp_path / "mount" / "..2026_01", "a.yaml", "b.yaml")
    (tmp_path / "mount" / "..data").symlink_to("..2026_01")
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / "mount" / name).symlink_to(f"..data/{name}")
    first = loads("rule_files: [mount]\n")
    assert names(first) == ["all", "a.yaml", "b.yaml"]
    write(tmp_path / "mount" / "..2026_02", "a.yaml", "b.yaml")
    (tmp_path / "mount" / "..2026_02" / "b.yaml").write_text("rules: []\n")
    (tmp_path / "mount" / "..new").symlink_to("..2026_02")
    (tmp_path / "mount" / "..new").rename(tmp_path / "mount" / "..data")
    second = loads("rule_files: [mount]\n")
    assert names(second) == ["all", "a.yaml"]
    changed = {path.name for path in first.files if first.files[path] != second.files[path]}
    assert {"a.yaml", "b.yaml", "mount"} <= changed
    assert first.hash != second.hash


def test_every_file_and_folder_that_was_read_is_in_the_result(loads: Loads, tmp_path: Path) -> None:
    """So that a change of any of them is noticed, and a new file in a folder."""
    write(tmp_path, "r/a.yaml", "one.yaml")
    loaded = loads("rule_files: [r/*.yaml, one.yaml]\n")
    assert set(loaded.files) == {tmp_path / name for name in ("config.yaml", "r", "r/a.yaml", "one.yaml")}


def test_the_hash_covers_all_files(loads: Loads, tmp_path: Path) -> None:
    """Without rule files, it is the hash of the configuration file."""
    write(tmp_path, "r/a.yaml", "r/b.yaml")
    single = loads()
    assert single.hash == sha256((tmp_path / "config.yaml").read_bytes()).hexdigest()[:16]
    hashes = {single.hash, loads("rule_files: [r]\n").hash, loads("rule_files: [r]\n").hash}
    assert len(hashes) == 2
    (tmp_path / "r" / "b.yaml").write_text("rules:\n  - {name: b, path: /b, public: true}\n")
    hashes.add(loads("rule_files: [r]\n").hash)
    (tmp_path / "r" / "b.yaml").rename(tmp_path / "r" / "c.yaml")
    hashes.add(loads("rule_files: [r]\n").hash)
    assert len(hashes) == 3


def test_all_rules_can_be_in_files(loads: Loads, tmp_path: Path) -> None:
    """The configuration itself then needs no rule."""
    write(tmp_path, "a.yaml")
    loaded = loads("rule_files: [a.yaml]\n", {"rules:\n  - {name: all, path: /**, authenticated: true}\n": ""})
    assert names(loaded) == ["a.yaml"]


def test_only_report_mode_needs_no_rule(loads: Loads) -> None:
    """Report mode forwards every request: how an app without rules begins."""
    no_rules = {"rules:\n  - {name: all, path: /**, authenticated: true}\n": ""}
    assert names(loads("mode: report\n", no_rules)) == []
    with pytest.raises(ConfigError, match='missing key "rules"'):
        loads("", no_rules)


def test_all_files_together_are_at_most_16_mib(tmp_path: Path, loads: Loads) -> None:
    """The bound is for the sum of their sizes."""
    filler = "#" + "x" * (MAX_BYTES // 2) + "\n"
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(filler + "rules: []\n")
    with pytest.raises(ConfigError, match=r'rule_files\[1\]: ".*b.yaml" is larger than \d+ bytes'):
        loads("rule_files: [a.yaml, b.yaml]\n")


def test_a_thousand_files_can_be_read(tmp_path: Path, loads: Loads) -> None:
    """Generated policies may have a file for each service."""
    write(tmp_path / "r", *(f"{number}.yaml" for number in range(1000)))
    assert len(names(loads("rule_files: [r]\n"))) == 1001


def test_an_error_has_the_files_path_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the working directory if the configuration was given so."""
    write(tmp_path / "etc" / "r", "a.yaml")
    (tmp_path / "etc" / "r" / "a.yaml").write_text("rules:\n  - {name: a, path: a, public: true}\n")
    (tmp_path / "etc" / "config.yaml").write_text(
        """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - {introspection_endpoint: http://127.0.0.1:8085/x, client_id: e, client_secret: {env: S}}
rule_files: [r]
"""
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        load(Path("etc/config.yaml"), {"S": "x"})
    assert str(refused.value) == "etc/r/a.yaml:2:21: rules[0].path: a path begins with /"
