"""The charts, and what writes the parts of them that are made from others.

`values` makes the schema of the values and their table, from values.yaml and from what the enforcer says of its own
configuration; `dashboard` makes Grafana's, and `rules` gives the alerts to kustomize too. `python -m helm` writes them
all, and the tests hold them current.
"""
