"""The reference of every key, as Markdown, from the settings' own docstrings.

`python -m enforcer.config.reference > docs/configuration.md` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from enforcer.config.schema import Node, Shape, shape

_INTRODUCTION: Final = """\
# The configuration

One YAML file. `config.yaml` is one to begin with, `enforcer check` tells of all mistakes in a file at once, each with
its line, and `enforcer schema` prints the JSON schema that editors complete and check it by.

- `enforcer run --set log.level=debug` says a setting beside the file, and counts instead of what the file says.
- A key that is not listed here is an error, and so is one that stands twice.
- Durations are written `250ms`, `5s`, `2m` or `1h`; sizes `512B`, `64KiB`, `1MiB` or `1GiB`.
- Only `true` and `false` are booleans: `on`, `off`, `yes` and `no` are text.
- Secrets never stand in the file: it says where they are kept, `{file: path}` or `{env: NAME}`. One line break at the
  end of such a file is no part of the secret. Where NAME is not set, NAME_FILE may say in which file it is.
- Paths of files are relative to the folder of the configuration.

In a key, `[]` stands for each item of a list, and `NAME` for a name that you choose. `–` is no default: the key is
absent, or empty, unless set.
"""


def reference() -> str:
    """Write the reference."""
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
    for found in settings.alternatives(node):
        if "items" in found:
            yield from _rows(settings, f"{path}[]", found["items"])
        if isinstance(found.get("additionalProperties"), dict):
            yield from _rows(settings, f"{path}.NAME", found["additionalProperties"])
        needed = found.get("required", ())
        for key, inner in sorted(found.get("properties", {}).items(), key=lambda one: one[0] not in needed):
            required = key in needed
            below = [*_rows(settings, f"{path}.{key}", inner)]
            # A section that is always there has no default of its own.
            if not below or required or "default" in inner:
                default = "**required**" if required else _default(inner.get("default"))
                yield f"| `{path}.{key}` | {default} | {_meaning(settings, inner)} |"
            yield from below


def _meaning(settings: Shape, node: Node) -> str:
    choices = [f"`{choice}`" for found in settings.alternatives(node) for choice in found.get("enum", ())]
    text = _text(settings, node)
    return f"{text} One of {', '.join(choices)}." if choices else text


def _default(value: Any) -> str:
    if value is None or value in ([], {}):
        return "–"
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key}: {inner}' for key, inner in value.items())}}}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _text(settings: Shape, node: Node) -> str:
    return settings.description(node).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
