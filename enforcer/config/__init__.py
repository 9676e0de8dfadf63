"""Reads a YAML configuration, policy included, into immutable settings, and reports every error with file and line.

`load` is the entry point: `document` (YAML values with their positions) -> `rule_files` (more documents) ->
`merged_document` (all of them as one) -> `model` (the settings; `sources` reads secrets and files) -> `validate`.
"""
