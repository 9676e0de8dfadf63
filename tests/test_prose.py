"""The prose checker: each phrase of its list is found where it is prose, and nowhere else."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import check_prose
import pytest

ROOT = Path(__file__).parent.parent
PHRASE = "for ever"
RULES = check_prose.read_rules()


def _sample(name: str) -> str:
    """Read a sample from a file of a type that the checker does not read."""
    return ROOT.joinpath("tests", "prose", f"{name}.txt").read_text("utf-8")


def _phrases(name: str, source: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.phrase) for finding in check_prose.check(Path(name), source, RULES)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.instead)
def test_each_rule_finds_its_wrong_examples_and_not_its_right_ones(rule: check_prose.Rule) -> None:
    """The word list carries its own examples."""
    matched = {text for text in rule.wrong + rule.right if any(rule.search(check_prose.Paragraph(text, (1,))))}
    assert matched == set(rule.wrong)


@pytest.mark.parametrize("text", [text for rule in RULES for text in rule.right])
def test_no_rule_rejects_what_another_recommends(text: str) -> None:
    """A right example passes the whole list."""
    assert _phrases("a.md", text) == []


def test_python_prose_is_docstrings_comments_and_longer_literals() -> None:
    """A line number is that of the phrase, also across a line break; a short literal is data."""
    assert _phrases("a.py", _sample("python")) == [
        (1, "Who"),
        (4, "How"),
        (8, "Tell whether"),
        (9, PHRASE),
        (11, "is told"),
        (13, "is no"),
        (13, "unless said"),
    ]


def test_markdown_prose_is_without_code_and_columns_of_words_to_avoid() -> None:
    """Headings and questions may begin with any word."""
    assert _phrases("a.md", _sample("markdown")) == [(3, "What"), (9, PHRASE), (15, "alone")]


def test_yaml_prose_is_its_comments() -> None:
    """A value that has the phrase or a `#` is data."""
    assert _phrases("a.yaml", _sample("yaml")) == [(1, PHRASE), (4, PHRASE)]


def test_other_files_have_no_prose() -> None:
    """Only known types are read."""
    assert _phrases("a.txt", _sample("other")) == []


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(check_prose.ROOT / ".ci" / "check_prose.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_command_line_prints_findings_and_exits_with_1(tmp_path: Path) -> None:
    """Folders are searched, except build output."""
    tmp_path.joinpath("build").mkdir()
    for name in ("a.md", "build/b.md"):
        tmp_path.joinpath(name).write_text(_sample("other"))
    result = _run(str(tmp_path))
    assert (result.returncode, result.stdout) == (
        1,
        f"{tmp_path}/a.md:1: {PHRASE}: write forever or indefinitely instead\n",
    )


def test_command_line_exits_with_0_and_2(tmp_path: Path) -> None:
    """Nothing found, and a path that does not exist."""
    assert _run(str(tmp_path)).returncode == 0
    assert _run(str(tmp_path / "missing")).returncode == 2


_PRONOUNS = {"at", "found", "given", "kept", "one", "several", "told", "what", "who", "worth"}


def _names(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names of functions, of their parameters, and of variables; not those of members of a class."""
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    members = {id(line.target) for each in classes for line in each.body if isinstance(line, ast.AnnAssign)}
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in members:
            yield node.id


def test_a_name_says_which_thing_it_means() -> None:
    """`found` and `what` say nothing to a reader who has not followed the code up to there."""
    files = [path for name in ("enforcer", "authserver", "country_app") for path in (ROOT / name).rglob("*.py")]
    assert files
    unclear = [(str(path), name) for path in files for name in _names([*ast.walk(ast.parse(path.read_text("utf-8")))])]
    assert [(path, name) for path, name in unclear if name.strip("_") in _PRONOUNS] == []
