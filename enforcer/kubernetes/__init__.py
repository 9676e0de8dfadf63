"""The enforcer in a Kubernetes cluster: the sidecar, and the programs that put it into pods.

`sidecar` writes the container that the injector, the webhook, the Helm charts and the kustomize component all share,
from `settings`. `workloads` finds the pod template of an object and what prevents an injection, and `pod_templates`
those in objects of unknown kinds.

- `carried_options` are the options of an injection that the next one applies again.
- `inject/` changes manifests (`enforcer inject`, `enforcer uninject`): text in, text out, without file or cluster.
- `verify/` checks finished manifests: who can bypass the enforcer (`enforcer verify`).
- `cluster_check` checks a running cluster (`enforcer cluster-check`).
- `webhook/` injects pods as they are created (`enforcer webhook`).
- `redirect` redirects a port in the pod's network (`enforcer redirect`).
"""
