"""Finds the rules that the requests of an operation match, and the requirements that these rules do not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from enforcer.analysis.evaluator import Policy, PolicyRequest, PolicyRule
from enforcer.analysis.openapi.reader import LeftOut, Operation, rule_of
from enforcer.analysis.openapi.request_paths import RequestPath, filler_for, request_target
from enforcer.analysis.openapi.security import Needs
from enforcer.analysis.request_heads import UnreadableRequestError
from enforcer.analysis.strength import not_required
from enforcer.policy.hierarchy import ScopeHierarchy


class Match(NamedTuple):
    """A rule that requests of an operation match, and the path of such a request.

    `inside`: the rule matches no other requests, but not all of these.
    """

    entry: PolicyRule
    segments: Sequence[bytes]
    inside: bool


class Samples:
    """Samples of the requests of operations, by which no rule of a policy that matches some of them is missed.

    `paths` are those of the operations.
    """

    def __init__(self, policy: Policy, paths: Iterable[str]) -> None:
        self._policy = policy
        self.filler = filler_for([*paths, *(entry.path for entry in policy.entries)])

    def matches(self, method: str, path: RequestPath, hosts: Iterable[str] = ("",)) -> Iterator[Match]:
        """Yield the rules that requests match, that of most of them first; a rule can be yielded several times."""
        for host in hosts:
            for segments in path.samples(self._policy.matcher.roots(host.encode()), self.filler):
                entry = self._entry(method, request_target(segments), host)
                if entry is not None:
                    yield Match(entry, segments, path.includes(entry.pattern.path, self.filler))

    def of_left_out(self, left_out: LeftOut) -> Iterator[PolicyRule]:
        """Yield the rules that requests of an operation match, except rules for a part of them.

        Requests for a path of the document that is more specific are those of the operation there.
        """
        for path, method in product(left_out.paths, left_out.methods):
            yield from (match.entry for match in self.matches(method, RequestPath.parse(path)) if not match.inside)

    def _entry(self, method: str, target: str, host: str) -> PolicyRule | None:
        """Return the rule that a request matches; None also if it is malformed."""
        try:
            return self._policy.locate(PolicyRequest(method, target, host)).entry
        except UnreadableRequestError:
            return None


def missing(entry: PolicyRule, needs: Needs | None) -> str:
    """Name the requirements of an operation that a rule does not have; empty if it has all."""
    if needs is None:
        return "what the operation requires, which is unknown"
    return not_required(entry, _entry(needs, entry.requirement.scope_hierarchy))


@lru_cache(maxsize=1024)
def _entry(needs: Needs, hierarchy: ScopeHierarchy) -> PolicyRule:
    operation = Operation("operation", "", "GET", "/", "", needs, ())
    (entry,) = Policy([(rule_of("operation", [operation]), "")], hierarchy=hierarchy).entries
    return entry
