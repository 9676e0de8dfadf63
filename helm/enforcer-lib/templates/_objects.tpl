{{/* The ConfigMap of the policy: (dict "values" VALUES "app" APP "config" MAP), the whole configuration but for addresses. */}}
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
The NetworkPolicy that closes the way around the enforcer: (dict "values" VALUES "app" APP "name" NAME "selector" LABELS).
Anybody may reach the protected port, and the monitoring's namespace the admin port. Ports are numbers: not every network
finds a native sidecar's port by its name.
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
