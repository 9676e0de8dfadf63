#!/usr/bin/env python3
"""Checks the prose of the repository for phrases that its style rules out.

Usage: python .ci/check_prose.py [PATH …]   (default: the whole repository)

Prints `file:line: phrase: write … instead` for each finding. Exit status: 0 if nothing is found, 1 if something
is, 2 if a path or the word list cannot be read. The word list, with its reasons, is prose.toml beside this file.

Prose is:

- in Python: docstrings, comments, and string literals of at least three words (help texts, log lines, error messages);
- in Markdown: headings, paragraphs, list items and table cells, without code. A table column that is headed “not” or
  “instead of” lists words to avoid, and is skipped;
- in YAML, TOML, shell scripts, Makefile and Dockerfile: comments.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULES_FILE = Path(__file__).with_name("prose.toml")
HASH_COMMENT_SUFFIXES = {".yaml", ".yml", ".toml", ".sh"}
HASH_COMMENT_NAMES = {"Makefile", "Dockerfile", "run", ".editorconfig", ".gitignore", ".dockerignore"}
SKIPPED_FOLDERS = {"build", "dist", "__pycache__", ".git", ".venv", ".build"}
SENTENCE_START = r"(?:^|(?<=[.!?] )|(?<=[.!?][\"”)] ))"
CODE = re.compile(r"(`+)(?!`).*?\1")
LIST_ITEM = re.compile(r"(?:[-*+]|\d+[.)])\s+")
DIRECTIVE = re.compile(r"(?:noqa|type: ignore|fmt:|pragma:|ruff:|mypy:|!/)")


@dataclass(frozen=True)
class Paragraph:
    """A text for people on one line, and the line number of each of its words."""

    text: str
    lines: tuple[int, ...]
    is_heading: bool = False

    def line_at(self, offset: int) -> int:
        """Return the line number of the word at an offset of `text`."""
        return self.lines[min(self.text.count(" ", 0, offset), len(self.lines) - 1)]


@dataclass(frozen=True)
class Rule:
    """A phrase to avoid, the replacement that messages name, and examples for the test."""

    pattern: re.Pattern[str]
    starts_sentence: bool
    instead: str
    wrong: tuple[str, ...]
    right: tuple[str, ...]

    def search(self, paragraph: Paragraph) -> Iterator[re.Match[str]]:
        """Yield the matches in one paragraph. A question or heading may start with any word."""
        text = paragraph.text
        for match in self.pattern.finditer(text):
            if not (self.starts_sentence and (paragraph.is_heading or _is_question(text, match.end()))):
                yield match


@dataclass(frozen=True)
class Comment:
    """A comment from its mark to the end of the line; `own_line` if no code stands before it."""

    line: int
    text: str
    own_line: bool


@dataclass(frozen=True)
class Finding:
    """A phrase to avoid, with its place."""

    path: Path
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase}: write {self.instead} instead"


def read_rules(path: Path = RULES_FILE) -> tuple[Rule, ...]:
    """Read the word list."""
    rules = []
    for entry in tomllib.loads(path.read_text("utf-8"))["rule"]:
        at_start = entry.get("at") == "sentence"
        pattern = SENTENCE_START + entry["pattern"] if at_start else f"(?i:{entry['pattern']})"
        rules.append(
            Rule(re.compile(pattern), at_start, entry["instead"], tuple(entry["wrong"]), tuple(entry["right"]))
        )
    return tuple(rules)


def check(path: Path, source: str, rules: tuple[Rule, ...]) -> list[Finding]:
    """Return what the rules find in one file, in the order of its lines."""
    findings = [
        Finding(path, paragraph.line_at(match.start()), match[0].strip(), rule.instead)
        for paragraph in paragraphs(path, source)
        for rule in rules
        for match in rule.search(paragraph)
    ]
    return sorted(findings, key=lambda finding: finding.line)


def paragraphs(path: Path, source: str) -> Iterator[Paragraph]:
    """Yield the prose of a file by its type; nothing for a type that is not checked."""
    if path.suffix == ".py":
        yield from _python(source)
    elif path.suffix == ".md":
        yield from _markdown(source)
    elif _has_hash_comments(path):
        yield from _comment_blocks(_hash_comments(source))


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield the checked files below the given paths; a path that does not exist raises FileNotFoundError."""
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(path)
        if path.is_file():
            yield path
        for child in sorted(path.rglob("*")) if path.is_dir() else ():
            if child.is_file() and SKIPPED_FOLDERS.isdisjoint(child.relative_to(path).parts):
                yield child


def _is_question(text: str, offset: int) -> bool:
    end = re.compile(r"[.!?](?=\s|$)").search(text, offset)
    return end is not None and end[0] == "?"


def _has_hash_comments(path: Path) -> bool:
    return path.suffix in HASH_COMMENT_SUFFIXES or path.name in HASH_COMMENT_NAMES


def _split(lines: list[tuple[int, str]]) -> Iterator[Paragraph]:
    """Split numbered lines into paragraphs: at blank lines and where a list item begins. Inline code is left out."""
    words: list[str] = []
    numbers: list[int] = []
    for number, line in lines:
        text = line.strip()
        item = LIST_ITEM.match(text)
        if (not text or item) and words:
            yield from _without_code(words, numbers)
            words, numbers = [], []
        new = text[item.end() if item else 0 :].split()
        words += new
        numbers += [number] * len(new)
    if words:
        yield from _without_code(words, numbers)


def _without_code(words: list[str], numbers: list[int]) -> Iterator[Paragraph]:
    text = " ".join(words)
    blank = CODE.sub(lambda match: re.sub(r"[^ ]", "`", match[0]), text).replace("**", "")
    yield Paragraph(blank, tuple(numbers))


def _python(source: str) -> Iterator[Paragraph]:
    docstrings: set[int] = set()
    inside_f_strings: set[int] = set()
    for node in ast.walk(ast.parse(source)):  # parents come before their children
        if isinstance(node, ast.Expr):
            docstrings.add(id(node.value))  # also those below attributes
        elif isinstance(node, ast.JoinedStr):
            inside_f_strings |= {id(part) for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield from _literal(node.lineno, text)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside_f_strings:
            is_prose = id(node) in docstrings or node.value.count(" ") >= 2
            yield from _literal(node.lineno, node.value) if is_prose else ()
    yield from _comment_blocks(
        Comment(token.start[0], token.string, own_line=token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )


def _literal(first_line: int, text: str) -> Iterator[Paragraph]:
    yield from _split(list(enumerate(text.split("\n"), start=first_line)))


def _hash_comments(source: str) -> Iterator[Comment]:
    """Yield the comments of a language in which `#` starts one at the start of a line or after white space."""
    for number, line in enumerate(source.splitlines(), start=1):
        match = re.search(r"(?:^|\s)#(?: .*|$)", line)
        if match:
            yield Comment(number, match[0].strip(), own_line=line.lstrip().startswith("#"))


def _comment_blocks(comments: Iterator[Comment]) -> Iterator[Paragraph]:
    """Join comments on consecutive lines; a comment behind code is a block of its own."""
    block: list[tuple[int, str]] = []
    for comment in comments:
        text = comment.text.lstrip("#:- ")
        if block and not (comment.own_line and comment.line == block[-1][0] + 1):
            yield from _split(block)
            block = []
        if DIRECTIVE.match(text):
            continue
        if comment.own_line:
            block.append((comment.line, text))
        else:
            yield from _split([(comment.line, text)])
    yield from _split(block)


def _markdown(source: str) -> Iterator[Paragraph]:
    fence = ""
    text: list[tuple[int, str]] = []
    table: list[tuple[int, str]] = []
    for number, raw in enumerate(source.splitlines(), start=1):
        line = raw.strip()
        if fence or line.startswith(("```", "~~~")):
            fence = "" if fence and line.startswith(fence) else fence or line[:3]
            line = ""
        if not line.startswith("|") and table:
            yield from _cells(table)
            table = []
        if line.startswith("|"):
            table.append((number, line))
            line = ""
        if line.startswith("#"):
            yield from _split(text)
            text = []
            yield from (replace(heading, is_heading=True) for heading in _split([(number, line.lstrip("# "))]))
            line = ""
        text.append((number, line.removeprefix("> ")))
    yield from _cells(table)
    yield from _split(text)


def _cells(table: list[tuple[int, str]]) -> Iterator[Paragraph]:
    """Yield the cells of a table as paragraphs, without the columns that list words to avoid."""
    if not table:
        return
    headings = [cell.strip().lower() for cell in table[0][1].strip("|").split("|")]
    skipped = {index for index, heading in enumerate(headings) if heading in ("not", "instead of")}
    for number, row in table[2:]:
        cells = CODE.sub("`", row.strip("|")).split("|")
        for index, cell in enumerate(cells):
            if index not in skipped:
                yield from _split([(number, cell)])


def main(arguments: list[str]) -> int:
    """Check the given paths and print the findings."""
    try:
        rules = read_rules()
        findings = []
        for path in files([Path(argument) for argument in arguments] or [ROOT]):
            if path.suffix in (".py", ".md") or _has_hash_comments(path):
                shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
                findings += check(shown, path.read_text("utf-8", "replace"), rules)
    except (OSError, KeyError, re.error, tomllib.TOMLDecodeError) as error:
        print(f"check_prose: {error!r}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} findings; see .ci/prose.toml for the reasons", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
