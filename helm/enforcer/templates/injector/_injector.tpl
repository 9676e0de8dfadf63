{{- define "enforcer.injectorName" -}}
{{- include "enforcer.fullname" . }}-injector
{{- end -}}

{{- define "enforcer.injectorSelector" -}}
{{- $labels := include "enforcer.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/component" "injector" -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* The metadata of an object of the injector: (list . annotations); cluster-wide objects have no namespace. */}}
{{- define "enforcer.clusterMetadata" -}}
{{- $root := index . 0 -}}
name: {{ include "enforcer.injectorName" $root }}
labels: {{- include "enforcer.labels" (list $root "injector" nil) | nindent 2 }}
{{- with mustMerge (deepCopy (index . 1 | default dict)) (deepCopy $root.Values.commonAnnotations) }}
annotations: {{- include "enforcer.tpl" (list $root .) | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "enforcer.injectorMetadata" -}}
{{- $metadata := include "enforcer.clusterMetadata" . | fromYaml -}}
{{- $_ := set $metadata "namespace" (include "enforcer.namespace" (index . 0)) -}}
{{- toYaml $metadata -}}
{{- end -}}

{{/* Whether the webhook has keys of its own: for its certificate authority, or for its path. */}}
{{- define "enforcer.injectorHasKeys" -}}
{{- if or (eq .Values.injector.tls.mode "selfManaged") (not .Values.injector.clientCa) }}true{{ end -}}
{{- end -}}

{{/* The Secret with these keys. */}}
{{- define "enforcer.injectorKeys" -}}
{{- include "enforcer.injectorName" . }}-keys
{{- end -}}

{{/* The Secret with the certificate, if the webhook does not issue it itself. */}}
{{- define "enforcer.injectorSecret" -}}
{{- include "enforcer.tpl" (list . .Values.injector.tls.existingSecret) | default (printf "%s-tls" (include "enforcer.injectorName" .)) -}}
{{- end -}}

{{/* The namespaces whose pods may be injected: (list . expressions), with more expressions that must match. */}}
{{- define "enforcer.namespaceSelector" -}}
{{- $root := index . 0 -}}
{{- $selector := deepCopy $root.Values.injector.namespaceSelector -}}
{{- $elsewhere := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (list "kube-system" (include "enforcer.namespace" $root)) -}}
{{- $_ := set $selector "matchExpressions" (concat (index . 1) ($selector.matchExpressions | default list) (list $elsewhere)) -}}
{{- toYaml $selector -}}
{{- end -}}

{{/* Those of them that have the label, so that it applies to all of their pods. */}}
{{- define "enforcer.labelledNamespaces" -}}
{{- $exists := dict "key" "enforcer.dev/inject" "operator" "Exists" -}}
{{- $enabled := dict "key" "enforcer.dev/inject" "operator" "NotIn" "values" (list "disabled") -}}
{{- include "enforcer.namespaceSelector" (list . (list $exists $enabled)) -}}
{{- end -}}

{{/* The settings of all sidecars, as arguments. */}}
{{- define "enforcer.sidecarArguments" -}}
{{- $sidecar := .Values.sidecar -}}
- --image={{ $sidecar.image | default (include "enforcer.image" .) }}
- --mode={{ $sidecar.mode }}
- --native-sidecar={{ $sidecar.nativeSidecar }}
{{- with $sidecar.policyConfigMap }}
- --policy-configmap={{ . }}
{{- end }}
{{- with $sidecar.credentialsSecret }}
- --credentials-secret={{ . }}
{{- end }}
{{- with $sidecar.imagePullSecret }}
- --image-pull-secret={{ . }}
{{- end }}
{{- range $name := list "imagePullPolicy" "listenPort" "adminPort" "logLevel" "logFormat" "drainSeconds" "waitBeforeExitSeconds" "upstreamScheme" "allowReportMode" }}
{{- $value := get $sidecar $name }}
{{- if not (has $value (list nil "")) }}
- {{ printf "--set=%s=%v" $name $value }}
{{- end }}
{{- end }}
- --set=runAsUser={{ .Values.openshift.enabled | ternary "" $sidecar.runAsUser }}
{{- range $kind := list "requests" "limits" }}
{{- range $what, $quantity := get $sidecar.resources $kind }}
- {{ printf "--set=resources.%s.%s=%v" $kind $what $quantity }}
{{- end }}
{{- end }}
{{- end -}}
