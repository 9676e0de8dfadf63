"""Every setting with its unit, its default and its reason.

1. A docstring below a field is its description in the reference (docs/configuration.md) and in the JSON schema.
2. pydantic reads these dataclasses at run time, so they are never compiled.
3. Modules that the request path imports do not import pydantic; `units` says how.
"""
