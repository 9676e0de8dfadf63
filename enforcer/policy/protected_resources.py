"""Which protected resource a rule belongs to, and which requests are for the metadata of one (RFC 9728)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from enforcer.policy.matcher import RequestPattern
from enforcer.policy.rules import Rule
from enforcer.policy.templates import Path
from enforcer.settings.resources import WELL_KNOWN, ProtectedResource
from enforcer.wire.fields import host_name


def resource_of(resources: Sequence[ProtectedResource], rule: Rule) -> ProtectedResource | None:
    """Return the resource that a rule belongs to; None if there is none, or not exactly one."""
    candidates = candidates_of(resources, rule) if resources else ()
    return candidates[0] if len(candidates) == 1 else None


def candidates_of(resources: Sequence[ProtectedResource], rule: Rule) -> Sequence[ProtectedResource]:
    """Return the resources that a rule may belong to: several only if they differ by host, and the rule does not.

    They are those with the longest path that all of the rule's paths are at or below.
    """
    paths = [Path.parse(template) for template in rule.templates]
    possible = [resource for resource in resources if _has_host(rule.host, resource.location.host)]
    around = [resource for resource in possible if all(_is_within(path, resource.segments) for path in paths)]
    longest = max((len(resource.segments) for resource in around), default=0)
    return [resource for resource in around if len(resource.segments) == longest]


def metadata_patterns(
    resources: Iterable[ProtectedResource], rules: Iterable[Rule]
) -> Iterator[tuple[RequestPattern, ProtectedResource]]:
    """Yield the requests that the enforcer responds to with the metadata of a resource.

    The host decides only if rules or resources differ by host: a proxy in front may have changed it.
    """
    served = [resource for resource in resources if resource.serve]
    per_host = Counter([resource.location.host for resource in served])
    by_host = len(per_host) > 1 or any(rule.host is not None for rule in rules)
    for resource in served:
        host = resource.location.host
        written = f"[{host}]" if ":" in host else host
        # Some clients look only at the path without the resource's.
        paths = {resource.segments, () if per_host[host] == 1 else resource.segments}
        for segments in sorted(paths):
            for end in _ENDS:
                path = Path((*_WELL_KNOWN, *segments, *end), False, {})
                yield RequestPattern(path, (), written if by_host else None), resource


_WELL_KNOWN: Final = tuple(WELL_KNOWN[1:].encode().split(b"/"))
_ENDS: Final[tuple[tuple[bytes, ...], ...]] = ((), (b"",))
"""With and without a slash at the end: the identifier may have one."""


def _is_within(path: Path, segments: tuple[bytes, ...]) -> bool:
    return path.segments[: len(segments)] == segments


def _has_host(host: str | None, name: str) -> bool:
    if host is None:
        return True
    label, _, rest = host.lower().partition(".")
    if label == "*" or label.startswith("{"):
        return name.partition(".")[2] == rest
    return host_name(host.encode()) == host_name(name.encode())
