"""The size of a configuration: files that are large, or that become large, are refused before they take memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from harness.usage import peak_memory

from enforcer.config.documents import document
from enforcer.config.load import Loaded, load
from enforcer.errors import MAX_PROBLEMS, ConfigError

BASE = """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers: [{introspection_endpoint: http://127.0.0.1:8085/x, client_id: e, client_secret: {env: SECRET}}]
"""
MORE = "there are more errors, which are not shown"
GROWTH = 100_000 * 1024
"""The largest growth of a process's memory, in bytes, while it reads the worst file."""

BOMBS: dict[str, Callable[[], str]] = {
    "empty lists": lambda: f"rules: [{'[],' * 340_000}]",
    "texts": lambda: f"rules: [{'a,' * 500_000}]",
    "mappings": lambda: "rules: [" + "{a: b}," * 140_000 + "]",
    "keys": lambda: "\n".join(f"key{number}: 1" for number in range(100_000)),
    "keys of a section": lambda: "limits: {" + ", ".join(f"key{number}: 1" for number in range(80_000)) + "}",
    "tags": lambda: f"rules: [{'!x a,' * 200_000}]",
    "unknown aliases": lambda: f"rules: [{'*a,' * 200_000}]",
    "duplicate keys": lambda: "{" + "a: 1, " * 150_000 + "}",
    "nesting": lambda: f"rules: {'[' * 500_000}",
    "aliases of aliases": lambda: "a: &a [x]\n" + "".join(
        f"{chr(98 + number)}: &{chr(98 + number)} [{', '.join([f'*{chr(97 + number)}'] * 9)}]\n" for number in range(9)
    ),
    "rules for one path": lambda: "rules:\n" + "- {name: a, path: /a, public: true}\n" * 25_000,
    "rules with large defaults": lambda: (
        f"rule_defaults: {{any_scope: [{', '.join(f's{number}' for number in range(5000))}]}}\nrules:\n"
        + "".join(f"- {{name: r{number}, path: /{number}}}\n" for number in range(2000))
    ),
    "rules with large sets": lambda: (
        f"scope_sets: {{s: [{', '.join(f's{number}' for number in range(5000))}]}}\nrules:\n"
        + "".join(f"- {{name: r{number}, path: /{number}, any_scope: [$s]}}\n" for number in range(2000))
    ),
}  # fmt: skip


def test_a_bomb_takes_little_memory_and_has_few_errors(tmp_path: Path) -> None:
    """Measured in a process of its own, whose memory is not that of other tests."""
    for name, text in BOMBS.items():
        (tmp_path / f"{name}.yaml").write_text(BASE + text())
    files = [tmp_path / f"{name}.yaml" for name in BOMBS]
    measured = subprocess.run(
        [sys.executable, "-m", "config.test_size", *files],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[1],
    )
    *counts, grown = map(int, measured.stdout.split())
    assert all(0 < count <= MAX_PROBLEMS + 1 for count in counts), dict(zip(BOMBS, counts, strict=True))
    assert grown < GROWTH


def _measure(paths: Sequence[str]) -> Iterator[int]:
    """Yield the number of errors of each file, and the growth of the process's memory in bytes."""
    before = peak_memory(os.getpid())
    for path in paths:
        try:
            load(Path(path), {"SECRET": "hunter2"})
        except ConfigError as error:
            yield len(error.problems)
        else:
            yield 0
    yield peak_memory(os.getpid()) - before


def test_values_are_counted_over_all_files(loads: Callable[..., Loaded], tmp_path: Path) -> None:
    """A configuration of many small files is as large as one of a single file."""
    (tmp_path / "r").mkdir()
    for name in "ab":
        scopes = ", ".join(f"s{number}" for number in range(document.MAX_VALUES // 2))
        (tmp_path / "r" / f"{name}.yaml").write_text(f"rules: [{{name: {name}, path: /{name}, any_scope: [{scopes}]}}]")
    with pytest.raises(ConfigError, match="a configuration has at most 200000 values, in all its files together"):
        loads("rule_files: [r/*.yaml]\n")


def test_only_the_first_errors_are_reported(loads: Callable[..., Loaded]) -> None:
    """In the order of the file; the last line says that there are more."""
    with pytest.raises(ConfigError) as failure:
        loads("x: [" + "!y z, " * 1000 + "]\n")
    problems = failure.value.problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].message == MORE
    assert [problem.column for problem in problems[:-1]] == sorted(problem.column for problem in problems[:-1])


def test_a_file_with_many_invalid_values_names_the_first(loads: Callable[..., Loaded]) -> None:
    """And how many errors there are in all, because it is probably not a configuration."""
    with pytest.raises(ConfigError) as failure:
        loads("limits: {" + ", ".join(f"key{number}: 1" for number in range(2000)) + "}\n")
    messages = [str(problem) for problem in failure.value.problems]
    assert any('unknown key "key0"' in message for message in messages)
    assert messages[-1].endswith(MORE)


if __name__ == "__main__":
    sys.stdout.write(" ".join(map(str, _measure(sys.argv[1:]))))


def test_implied_scopes_are_counted(loads: Callable[..., Loaded]) -> None:
    """A chain of scopes includes as many as the square of its length, and a rule accepts each that includes its own."""
    chain = ", ".join(f"s{number}: [s{number + 1}]" for number in range(1000))
    with pytest.raises(ConfigError, match="scope_implies: the scopes include others in more than 200000 ways"):
        loads(f"scope_implies: {{{chain}}}\n")
    implies = ", ".join(f"s{number}: [read]" for number in range(5000))
    rules = "".join(f"  - {{name: r{number}, path: /{number}, any_scope: [read]}}\n" for number in range(50))
    with pytest.raises(ConfigError, match="with defaults, scope sets and scope_implies applied, the rules have more"):
        loads(f"{rules}scope_implies: {{{implies}}}\n")
    assert len(loads(f"{rules}scope_implies: {{s: [read]}}\n").config.rules) == 51
