"""Scopes that include others (`scope_implies`). Pure, compiled at load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final


@final
class ScopeHierarchy:
    """Which scopes a token may have instead of another one: those that include it, directly or through others."""

    __slots__ = ("_including",)

    def __init__(self, implies: Mapping[str, Iterable[str]]) -> None:
        including: dict[str, set[str]] = {}
        for scope in implies:
            pending = [*implies[scope]]
            seen: set[str] = set()
            while pending:
                included = pending.pop()
                if included not in seen:
                    seen.add(included)
                    pending += implies.get(included, ())
            for included in seen - {scope}:
                including.setdefault(included, set()).add(scope)
        self._including: Final = {scope: frozenset(scopes) for scope, scopes in including.items()}

    def including(self, scope: str) -> frozenset[str]:
        """Return the scopes that include a scope, without itself."""
        return self._including.get(scope, _NONE)

    def least(self, scopes: Iterable[str]) -> str | None:
        """Return the first of the scopes that includes no other one; None if there are none."""
        candidates = list(scopes)
        for scope in candidates:
            if not any(scope in self.including(other) for other in candidates):
                return scope
        return candidates[0] if candidates else None

    def granted(self, scopes: frozenset[str]) -> frozenset[str]:
        """Return the scopes, and all that they include."""
        included = [scope for scope, including in self._including.items() if including & scopes]
        return scopes.union(included)


def closure_steps(implies: Mapping[str, Sequence[str]], maximum: int) -> int:
    """Return the number of steps that finding all included scopes takes; any number above the maximum if more."""
    steps = 0
    for scope in implies:
        pending = [scope]
        seen = {scope}
        while pending:
            included = implies.get(pending.pop(), ())
            steps += 1 + len(included)
            if steps > maximum:
                return steps
            new = [each for each in included if each not in seen]
            seen.update(new)
            pending += new
    return steps


_NONE: Final[frozenset[str]] = frozenset()
NO_HIERARCHY: Final = ScopeHierarchy({})
