"""Finds conflicts of protected resources with each other, with rules and with authorization servers."""

from __future__ import annotations

from collections.abc import Iterator

from enforcer.config.documents.document import Step, show
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.resolved import servers_for
from enforcer.config.validate.conflicts import duplicates
from enforcer.errors import Problem
from enforcer.policy.protected_resources import candidates_of, resource_of
from enforcer.settings.resources import WELL_KNOWN


def resource_conflicts(config: Config, document: MergedDocument) -> Iterator[Problem]:
    """Yield each conflict of the protected resources of a configuration whose values are valid."""
    resources = config.resources
    if not resources:
        return
    urls: dict[tuple[Step, ...], str] = {
        ("resources", index): resource.metadata_url.rstrip("/") for index, resource in enumerate(resources)
    }
    yield from duplicates(document, urls)
    used = [resource_of(resources, rule) for rule in config.rules if not rule.public and not rule.nobody]
    for index, resource in enumerate(resources):
        if resource not in used:
            path = resource.location.target.rstrip("/")
            message = f"no rule that needs a token is at or below its path; add one for {path}/** or a part of it"
            yield document.problem(("resources", index), message)
    servers = {server.name for server in config.authorization_servers}
    reported: set[str] = set()
    for index, rule in enumerate(config.rules):
        yield from (
            document.problem(("rules", index, "path" if rule.path is not None else "paths"), _SERVED)
            for template in rule.templates
            if any(_is_document(template, resource.metadata_url) for resource in resources if resource.serve)
        )
        if rule.public or rule.nobody:
            continue
        candidates = candidates_of(resources, rule)
        if len(candidates) > 1:
            names = " and ".join(resource.resource for resource in candidates)
            yield document.problem(("rules", index), f"its path is that of {names}; give the rule a host")
        if resource_of(resources, rule) is None or not servers.issuperset(rule.authorization_servers):
            continue  # an unknown server is another error
        for server in servers_for(config, rule):
            if server.issuer is None and server.name not in reported:
                reported.add(server.name)
                place = next(i for i, known in enumerate(config.authorization_servers) if known is server)
                message = f"{show(server.name)} needs issuer: the metadata of resources names it to clients"
                yield document.problem(("authorization_servers", place), message)


def _is_document(template: str, url: str) -> bool:
    return template.startswith(WELL_KNOWN) and url.rstrip("/").endswith(template.rstrip("/"))


_SERVED = "never matches: the enforcer responds with the metadata of a resource there; set serve: false, or remove it"
