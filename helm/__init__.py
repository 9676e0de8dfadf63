"""The charts, and the generators of their derived files.

`values` generates the schema and the table of the values from values.yaml and the enforcer's own schema; `dashboard`
generates the Grafana dashboard, and `rules` copies the alerts to kustomize. `python -m helm` writes all of them; tests
check that they are current.
"""
