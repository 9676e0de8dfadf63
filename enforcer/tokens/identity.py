"""Identity fields: how a claim is written for the app. Pure.

1. Claims that a rule can tell apart have different values, so that no app takes a token for another one. A string is
   written as it is, a list of strings with commas, and any other value as JSON behind `json:`. A text that could be
   mistaken for one of these is percent-encoded.
2. A value is printable ASCII without blanks at its ends, whatever the claim contains.
3. `scope` is written from the scopes that rules check, as RFC 6749 §3.3 writes them: separated by spaces.

docs/identity-fields.md describes it for the authors of apps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from enforcer.tokens.claims import UNREADABLE, ActiveToken, claim_value
from enforcer.wire.fields import field_value

_JSON: Final = b"json:"


def identity_value(token: ActiveToken, claim: str, path: Sequence[str] = ()) -> bytes | None:
    """Return the value of the field that carries a claim; None if the token has no such claim, or an empty list.

    `path` are the keys of a nested claim, as `claims.name_and_path` has them.
    """
    if claim == "scope":
        return field_value(" ".join(sorted(token.scopes))) if token.scopes else None
    value = claim_value(token.claims, claim, path)
    return None if value is None or value is UNREADABLE or value == [] else _encode(value)


def _encode(value: Any) -> bytes:
    members = value if isinstance(value, list) else [value]
    if all(isinstance(member, str) for member in members):
        # A rule makes no difference between a string and a list with only this string.
        text = b",".join(field_value(member).replace(b",", b"%2C") for member in members)
        return b"%6A" + text[1:] if text.startswith(_JSON) else text
    # ASCII, except DEL, which the writer leaves as it is
    text = json.dumps(value, separators=(",", ":"), sort_keys=True).encode().replace(b"\x7f", b"\\u007f")
    return _JSON + text
