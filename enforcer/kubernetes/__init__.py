"""The enforcer in a cluster: a sidecar that is put into manifests, and taken out of them again.

`sidecar` is the container as the injector, the webhook, the charts and the kustomize component write it; `names` are
the names that all of them use. Plain values in, plain values out: no file, no YAML, no cluster.
"""
