{{/* The ConfigMap of the policy: (dict "values" VALUES "app" APP "config" MAP), the complete configuration except addresses. */}}
{{- define "enforcer.sidecar.policyConfigMap" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $s.policy }}
data:
  {{ $s.policyKey }}: | {{- toYaml .config | nindent 4 }}
{{- end -}}

{{/*
The NetworkPolicy that closes the bypass: (dict "values" VALUES "app" APP "name" NAME "selector" LABELS). All clients may
reach the enforcer's port, and the monitoring namespace the admin port. Ports are numbers, because not every network plugin
resolves the name of a native sidecar's port.
*/}}
{{- define "enforcer.sidecar.networkPolicy" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}-enforcer
spec:
  podSelector:
    matchLabels:
      {{- toYaml .selector | nindent 6 }}
      {{- include "enforcer.sidecar.labels" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - ports:
        - port: {{ eq $s.mode "port" | ternary $s.listenPort .app.port | int }}
          protocol: TCP
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $s.monitoringNamespace }}
      ports:
        - port: {{ int $s.adminPort }}
          protocol: TCP
{{- end -}}
