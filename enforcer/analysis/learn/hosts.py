"""Derives the apps behind the hosts of a log: hosts with the same paths are names of one app."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from enforcer.policy.rules import is_host

MAX_HOSTS: Final = 100
"""Maximum number of hosts told apart; with more, the requests count as those of one app. Bounds memory."""
_MANY: Final = 3
"""Minimum number of hosts that differ only in the first label and become one with `*`."""


def host_name(value: str | None) -> str:
    """Return the host of a Host field as a rule names it; empty if no rule can."""
    name = (value or "").lower()
    name = name if name.endswith("]") else name.partition("]")[0] + "]" if "]" in name else name.partition(":")[0]
    return name if is_host(name) and not name.startswith(("*", "{")) else ""


def apps(templates: Mapping[str, Collection[tuple[str, str]]]) -> list[list[str]]:
    """Return the hosts of each app, by the paths and methods of each host.

    A host belongs to the app with most of its paths, if that has at least half of them.
    """
    result: list[tuple[list[str], set[tuple[str, str]]]] = []
    for host in sorted(templates, key=lambda host: (-len(templates[host]), host)):
        own = {*templates[host]}
        best = max(result, key=lambda app: len(own & app[1]), default=None)
        if best is not None and 2 * len(own & best[1]) >= len(own):
            best[0].append(host)
            best[1].update(own)
        else:
            result.append(([host], own))
    return sorted(sorted(hosts) for hosts, _ in result)


def patterns(hosts: Iterable[str]) -> list[str]:
    """Return the hosts as rules name them: several with the same domain as `*.example.org`."""
    by_domain: defaultdict[str, list[str]] = defaultdict(list)
    for host in hosts:
        domain = host.partition(".")[2]
        by_domain[f"*.{domain}" if is_host(f"*.{domain}") and not host[-1].isdigit() else host].append(host)
    names = [[domain] if len(group) >= _MANY else group for domain, group in by_domain.items()]
    return sorted(name for group in names for name in group)
