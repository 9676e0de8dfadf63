"""What a plain scalar of YAML is to Kubernetes' tools: YAML 1.1 with a few exceptions, and JSON's types alone."""

from __future__ import annotations

import re
from typing import Final

_CONSTANTS: Final[dict[str, bool | None]] = {
    **{text: True for word in ("true", "yes", "on") for text in (word, word.capitalize(), word.upper())},
    **{text: False for word in ("false", "no", "off") for text in (word, word.capitalize(), word.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|0|[1-9][0-9_]*)")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_OCTAL: Final = re.compile(r"([-+]?)0([0-7]+)")


def resolve(text: str) -> str | int | float | bool | None:
    """Read it: no dates, no numbers to the base 60; `0644` is octal."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(text):
        return int(_OCTAL.sub(r"\g<1>0o\2", digits), 0) if _OCTAL.fullmatch(digits) else int(digits, 0)
    return float(text) if _NUMBER.fullmatch(text) else text
