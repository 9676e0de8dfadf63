"""The enforcer in a cluster: a sidecar that is put into manifests, and taken out of them again.

`sidecar` is the container as the injector, the webhook, the charts and the kustomize component write it, for what
`settings` say. `pods` puts it into a pod's template and `undo` takes it out, by `workloads`, `ports`, `probes`, and the
`status` that the template then has. `injecting` does so with all objects that belong together: `manifests` says what is
wanted of them and what becomes of them; `services`, `networkpolicies` and `scaling` follow, and `advice` says what to
know of it.

Objects are plain values. `streams` are the `documents` that hold them; what changes (`changes`) is made in their own
text (`rewriting`, `emitting`), so that all else in it stays. Text in, text out: no file and no cluster.
"""
