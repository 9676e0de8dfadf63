"""One pod template: `pod_template` puts the sidecar in, `uninject` takes it out, with `ports` and `probes`."""
