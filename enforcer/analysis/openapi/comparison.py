"""Compares an OpenAPI document with a policy: where a rule requires less than the document does.

Requests are sent to the policy's matcher for each operation, and for each rule that may match some of its requests: a
rule that is more specific than an operation must not require less either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product

from enforcer.analysis.evaluator import Policy, PolicyRule
from enforcer.analysis.openapi.outcome import Match, Samples, missing
from enforcer.analysis.openapi.reader import Operation, Specification, with_head
from enforcer.analysis.openapi.request_paths import RequestPath
from enforcer.analysis.openapi.security import Needs
from enforcer.policy.matcher import Matcher, RequestPattern
from enforcer.policy.templates import HOST_NAME, Path


@dataclass(frozen=True, slots=True)
class Weaker:
    """A rule that requires less than the document for some requests; `lacks` names the requirements."""

    entry: PolicyRule
    label: str
    lacks: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between a document and a policy.

    `without_rule` are operations that no rule matches, `weaker` rules that require less, `without_operation` rules that
    no operation matches.
    """

    without_rule: tuple[str, ...]
    weaker: tuple[Weaker, ...]
    without_operation: tuple[PolicyRule, ...]

    def __bool__(self) -> bool:
        return bool(self.without_rule or self.weaker or self.without_operation)


def compare(specification: Specification, policy: Policy) -> Comparison:
    """Compare by the requests of each operation, for its server's host and for the host of every rule."""
    document = Matcher(
        (RequestPattern(Path.parse(each.path), (each.method,), None), each) for each in specification.operations
    )
    left_out_paths = [path for each in specification.left_out for path in each.paths]
    samples = Samples(policy, [*(each.path for each in specification.operations), *left_out_paths])
    without_rule = []
    weaker = {}
    used = set[PolicyRule]()
    for requests in _requests(specification, policy):
        matched = False
        for match in requests.matches(samples, document):
            used.add(match.entry)
            matched = matched or not match.inside
            lacks = missing(match.entry, requests.needs)
            if lacks:
                label = requests.label_at(match)
                weaker[match.entry, label] = Weaker(match.entry, label, lacks)
        without_rule += [] if matched else [requests.absence]
    unused = tuple(entry for entry in policy.entries if entry not in used)
    return Comparison(tuple(without_rule), tuple(weaker.values()), unused)


@dataclass(frozen=True, slots=True)
class _Requests:
    """The requests of an operation at some hosts. `detail` is why it was left out, empty if it was not."""

    operation: Operation | None
    label: str
    methods: Sequence[str]
    paths: Sequence[str]
    hosts: Collection[str]
    needs: Needs | None
    detail: str = ""

    @property
    def absence(self) -> str:
        """The line for requests that no rule matches."""
        return f"{self.label}: {self.detail}" if self.detail else self.label

    def matches(self, samples: Samples, document: Matcher[Operation]) -> Iterator[Match]:
        """Yield the rules that these requests match, except requests that are those of another operation.

        OpenAPI leaves open which operation has a request for two paths that cross: here, it is that which the matcher
        finds. An operation that was left out shares its requests only with operations at more specific paths.
        """
        for method, path in product(self.methods, map(RequestPath.parse, self.paths)):
            for match in samples.matches(method, path, self.hosts):
                other = document.find(match.segments, method.encode(), b"")
                if self.operation is None and other is not None:
                    other = other if path.includes(Path.parse(other.path), samples.filler) else None
                if other is None or other is self.operation:
                    yield match

    def label_at(self, match: Match) -> str:
        """Return the label of requests that match a rule, with its path if that is more specific."""
        operation = self.operation
        return f"{operation.method} {match.entry.path} ({operation.name})" if operation and match.inside else self.label


def _requests(specification: Specification, policy: Policy) -> Iterator[_Requests]:
    rule_hosts = [entry.rule.host for entry in policy.entries if entry.rule.host]
    label = next(text for text in map("host{}".format, count()) if text not in "".join(rule_hosts))
    hosts = {HOST_NAME.sub("*.", host).replace("*", label) for host in rule_hosts}
    for each in specification.operations:
        text = f"{each.method} {each.path} ({each.name})"
        yield _Requests(each, text, with_head(each.method), (each.path,), {each.host, *hosts}, each.needs)
    for left_out in specification.left_out:
        text = f"{left_out.label}, which was left out"
        all_hosts = {"", *hosts}
        yield _Requests(None, text, left_out.methods, left_out.paths, all_hosts, left_out.needs, left_out.detail)
