"""Manifests as real pods of one machine, without a cluster: podman runs them, and this plays what surrounds a pod.

podman 4.3 knows neither native sidecars nor Services nor the pod's own address, and restarts, probes and ends
containers in ways of its own. So `manifests` puts a pod into the words that podman has, and says what it changed;
`folders` and `kubelet` mount, start, probe and end as the kubelet does; `services` leads a Service's address to its
pods as kube-proxy does; `node` is the machine that they make up.
"""
