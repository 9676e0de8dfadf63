{{/* The endpoint of a ServiceMonitor or PodMonitor, from its values. */}}
{{- define "enforcer.scrape" -}}
port: admin
path: /metrics
{{- range $name := list "interval" "scrapeTimeout" "honorLabels" "relabelings" "metricRelabelings" }}
{{- with get $ $name }}
{{ dict $name . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The metadata of an object for the Prometheus Operator: (list . name values). */}}
{{- define "enforcer.operatorMetadata" -}}
{{- $metadata := include "enforcer.metadata" (list (index . 0) (index . 1) (index . 2).additionalLabels nil) | fromYaml -}}
{{- with (index . 2).namespace }}{{ $_ := set $metadata "namespace" . }}{{ end -}}
{{- toYaml $metadata -}}
{{- end -}}
