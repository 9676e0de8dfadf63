"""Writes the reference of all settings as Markdown, from the settings' docstrings.

`python -m enforcer.config.reference > docs/configuration.md` writes the file again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from enforcer.config.schema import Node, Shape, shape

_INTRODUCTION: Final = """\
# The configuration

One YAML file. `config.yaml` is an example to start from. `enforcer check` reports all errors in a file at once, each
with its line. `enforcer schema` prints the JSON schema, with which editors complete and check the file.

- `enforcer run --set log.level=debug` overrides a setting of the file.
- An unknown or duplicate key is an error.
- Durations are written `250ms`, `5s`, `2m` or `1h`; sizes `512B`, `64KiB`, `1MiB` or `1GiB`;
  percentages `75%`.
- Only `true` and `false` are booleans: `on`, `off`, `yes` and `no` are text.
- Secrets are never in the file: it names their place, `{file: path}` or `{env: NAME}`. One line break at the end of a
  secret's file is not part of the secret. If NAME is not set, NAME_FILE may name a file that contains the value.
- File paths are relative to the folder of the configuration.

In a key, `[]` stands for each item of a list, and `NAME` for a name that you choose. `–` means no default: the key is
absent or empty.
"""


def reference() -> str:
    return "\n".join([_INTRODUCTION, *_sections(shape())])


def _sections(settings: Shape) -> Iterator[str]:
    for key, node in settings.keys(()).items():
        yield f"## `{key}`\n\n{_meaning(settings, node)}\n"
        if rows := [*_rows(settings, key, node)]:
            yield "| key | default | meaning |\n| --- | --- | --- |"
            yield from rows
        else:
            yield f"Default: {_default(node.get('default'))}"
        yield ""


def _rows(settings: Shape, path: str, node: Node) -> Iterator[str]:
    """Yield a row for each key below a node."""
    for alternative in settings.alternatives(node):
        if "items" in alternative:
            yield from _rows(settings, f"{path}[]", alternative["items"])
        if isinstance(alternative.get("additionalProperties"), dict):
            yield from _rows(settings, f"{path}.NAME", alternative["additionalProperties"])
        required = alternative.get("required", ())
        for key, inner in sorted(alternative.get("properties", {}).items(), key=lambda item: item[0] not in required):
            below = [*_rows(settings, f"{path}.{key}", inner)]
            # A section that always exists has no default of its own.
            if not below or key in required or "default" in inner:
                default = "**required**" if key in required else _default(inner.get("default"))
                yield f"| `{path}.{key}` | {default} | {_meaning(settings, inner)} |"
            yield from below


def _meaning(settings: Shape, node: Node) -> str:
    choices = [f"`{choice}`" for option in settings.alternatives(node) for choice in option.get("enum", ())]
    text = settings.description(node).replace("|", "\\|")
    return f"{text} One of {', '.join(choices)}." if choices else text


def _default(value: Any) -> str:
    if value is None or value in ([], {}):
        return "–"
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key}: {inner}' for key, inner in value.items())}}}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
