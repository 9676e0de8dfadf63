"""YAML to immutable settings, the policy included; every mistake of a file at once, each with its line.

`load` is the way in: `document` (YAML as values that know where they stand) -> `model` (the settings; `sources` for
what is kept elsewhere) -> `conflicts` (its parts against each other), with `messages` for what is wrong with a value.
"""
