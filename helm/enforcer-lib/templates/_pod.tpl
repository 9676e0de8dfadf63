{{/* Labels of the pod. */}}
{{- define "enforcer.sidecar.labels" -}}
enforcer.dev/injected: "true"
{{- end -}}

{{/* Annotations of the pod: `kubectl logs` and `exec` use the app's container, app.container. */}}
{{- define "enforcer.sidecar.annotations" -}}
kubectl.kubernetes.io/default-container: {{ required "the name of the app's container is needed: app.container" .app.container }}
kubectl.kubernetes.io/default-logs-container: {{ .app.container }}
{{- end -}}

{{/*
The name of the app's own port. In mode port the enforcer has the name that Services use; if the app's port had it, too,
Services would bypass the enforcer.
*/}}
{{- define "enforcer.sidecar.appPort" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
{{- eq $s.mode "port" | ternary (printf "app-%s" .app.portName | trunc 15 | trimSuffix "-") .app.portName -}}
{{- end -}}

{{/*
The app's probes, app.probes: by livenessProbe, readinessProbe, startupProbe, in Kubernetes' form, with the port's number.
In modes loopback and transparent the kubelet cannot reach the app, and the enforcer executes the probes for it.
*/}}
{{- define "enforcer.sidecar.probes" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
{{- $which := dict "livenessProbe" "livez" "readinessProbe" "readyz" "startupProbe" "startupz" -}}
{{- $probes := dict -}}
{{- range $name, $probe := .app.probes | default dict -}}
  {{- if ne $s.mode "port" -}}
    {{- $path := printf "/probes/%s/%s" $.app.container (get $which $name) -}}
    {{- $probe = merge (dict "httpGet" (dict "path" $path "port" (int $s.adminPort))) (omit $probe "httpGet" "tcpSocket" "grpc") -}}
  {{- end -}}
  {{- $_ := set $probes $name $probe -}}
{{- end -}}
{{- toYaml $probes -}}
{{- end -}}

{{/* The app's probes that the enforcer executes, as JSON; empty if the kubelet can reach the app itself. */}}
{{- define "enforcer.sidecar.storedProbes" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
{{- $which := dict "livenessProbe" "livez" "readinessProbe" "readyz" "startupProbe" "startupz" -}}
{{- $stored := dict -}}
{{- range $name, $probe := .app.probes | default dict -}}
  {{- $kept := pick $probe "httpGet" "tcpSocket" "grpc" -}}
  {{- range $action := values $kept }}{{ $_ := set $kept "port" (int $action.port) }}{{ end -}}
  {{- with $probe.timeoutSeconds }}{{ $_ := set $kept "timeoutSeconds" (int .) }}{{ end -}}
  {{- $_ := set $stored (printf "%s/%s" $.app.container (get $which $name)) $kept -}}
{{- end -}}
{{- if and $stored (ne $s.mode "port") }}{{ toJson $stored }}{{ end -}}
{{- end -}}
