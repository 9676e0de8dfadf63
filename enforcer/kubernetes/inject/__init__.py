"""The injector: puts the sidecar into manifests, takes it out again, and reports what it did.

`pod/` changes one pod template. `workload_pass` runs a step on each workload of a `manifest_set`: `injector`, `prepare`
or `check`; `uninjector` reverts. `services`, `networkpolicies` and `scaling` change the objects around a workload.
`diagnostics` finds what a user should know, and `report` writes it.
"""
