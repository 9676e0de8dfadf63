"""Runs manifests as real pods on one machine, without a cluster: podman runs them, this package does the rest.

podman 4.3 knows neither native sidecars nor Services nor the pod's own address, and it restarts, probes and stops
containers differently. So `manifests` translates a pod for podman, and lists what it changed; `folders` and `kubelet`
mount, start, probe and stop as the kubelet does; `services` routes a Service's address to its pods as kube-proxy does;
`node` combines them.
"""
