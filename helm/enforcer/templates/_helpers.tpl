{{/* The chart's name, or nameOverride. */}}
{{- define "enforcer.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of all objects: at most 50 characters, because some objects append to it. */}}
{{- define "enforcer.fullname" -}}
{{- $name := include "enforcer.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $full | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* A value that may contain templates, of any type, as text or YAML: (list . value). */}}
{{- define "enforcer.tpl" -}}
{{- $text := index . 1 -}}
{{- if not (kindIs "string" $text) }}{{ $text = toYaml $text }}{{ end -}}
{{- if contains "{{" $text }}{{ tpl $text (index . 0) }}{{ else }}{{ $text }}{{ end -}}
{{- end -}}

{{- define "enforcer.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* The labels that select pods; they never change during the life of a release. */}}
{{- define "enforcer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "enforcer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{/* The labels of an object in a component such as gateway: (list . component more). */}}
{{- define "enforcer.labels" -}}
{{- $root := index . 0 -}}
{{- $labels := include "enforcer.selectorLabels" $root | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/component" (index . 1) -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "token-enforcer" -}}
{{- $_ := set $labels "app.kubernetes.io/version" ($root.Values.image.tag | default $root.Chart.AppVersion | trunc 63) -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $more := mustMerge (deepCopy (index . 2 | default dict)) (deepCopy $root.Values.commonLabels) -}}
{{- mustMerge $labels (include "enforcer.tpl" (list $root $more) | fromYaml) | toYaml -}}
{{- end -}}

{{/* The metadata of an object of the gateway: (list . name labels annotations), the last two as mappings, or nil. */}}
{{- define "enforcer.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ include "enforcer.namespace" $root }}
labels: {{- include "enforcer.labels" (list $root "gateway" (index . 2)) | nindent 2 }}
{{- with mustMerge (deepCopy (index . 3 | default dict)) (deepCopy $root.Values.commonAnnotations) }}
annotations: {{- include "enforcer.tpl" (list $root .) | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "enforcer.image" -}}
{{- with .Values.global.imageRegistry | default .Values.image.registry }}{{ . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* Image pull secrets: names, or {name: …}. */}}
{{- define "enforcer.imagePullSecrets" -}}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
- name: {{ include "enforcer.tpl" (list $ (kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name"))) }}
{{- end }}
{{- end -}}

{{- define "enforcer.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- include "enforcer.tpl" (list . .Values.serviceAccount.name) -}}
{{- else -}}
{{- .Values.serviceAccount.create | ternary (include "enforcer.fullname" .) "default" -}}
{{- end -}}
{{- end -}}

{{- define "enforcer.configMapName" -}}
{{- include "enforcer.tpl" (list . .Values.existingConfigMap) | default (include "enforcer.fullname" .) -}}
{{- end -}}

{{/* The Secret with the client's secret; empty if the values name none. */}}
{{- define "enforcer.credentialsName" -}}
{{- if .Values.introspection.existingSecret -}}
{{- include "enforcer.tpl" (list . .Values.introspection.existingSecret) -}}
{{- else if .Values.introspection.clientSecret -}}
{{- include "enforcer.fullname" . -}}-credentials
{{- end -}}
{{- end -}}

{{- define "enforcer.tlsName" -}}
{{- include "enforcer.tpl" (list . .Values.tls.existingSecret) | default (printf "%s-tls" (include "enforcer.fullname" .)) -}}
{{- end -}}

{{/* Volumes for secrets, each with its folder under /etc: name, Secret. */}}
{{- define "enforcer.secretVolumes" -}}
{{- with include "enforcer.credentialsName" . }}
enforcer-credentials: {{ . }}
{{- end }}
{{- with .Values.introspection.tls.existingSecret }}
enforcer-introspection-tls: {{ include "enforcer.tpl" (list $ .) }}
{{- end }}
{{- with .Values.upstream.tls.existingSecret }}
enforcer-upstream-tls: {{ include "enforcer.tpl" (list $ .) }}
{{- end }}
{{- if .Values.tls.enabled }}
enforcer-tls: {{ include "enforcer.tlsName" . }}
{{- end }}
{{- end -}}

{{/* The arguments that must match the pod; they override the configuration. */}}
{{- define "enforcer.settings" -}}
- --set=timeouts.shutdown_delay={{ .Values.drain.delaySeconds }}s
- --set=timeouts.drain={{ .Values.drain.seconds }}s
{{- if ne .Values.mode "decision" }}
- --set=listener.address=:{{ .Values.service.targetPort }}
{{- end }}
- --set=admin.address=:{{ .Values.metrics.port }}
{{- with .Values.extraArgs }}
{{ include "enforcer.tpl" (list $ .) }}
{{- end }}
{{- end -}}

{{/* The file of the configuration in the container. */}}
{{- define "enforcer.configFile" -}}
/etc/enforcer/{{ .Values.existingConfigMap | empty | ternary "config.yaml" .Values.existingConfigMapKey }}
{{- end -}}

{{/* The fields of a pod's specification that the values have under the same name. */}}
{{- define "enforcer.scheduling" -}}
{{- range $name := list "priorityClassName" "runtimeClassName" "dnsPolicy" "dnsConfig" "hostAliases" "nodeSelector" "tolerations" "affinity" }}
{{- with get $.Values $name }}
{{ dict $name . | list $ | include "enforcer.tpl" }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The IP families of a Service. */}}
{{- define "enforcer.ipFamilies" -}}
{{- range $name := list "ipFamilyPolicy" "ipFamilies" }}
{{- with get $.Values.service $name }}
{{ dict $name . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The name of the port for clients. */}}
{{- define "enforcer.scheme" -}}
{{- .Values.tls.enabled | ternary "https" "http" -}}
{{- end -}}

{{/*
The ports for requests, as YAML: of clients, or in mode decision of gateways, one for each contract. Names begin with the
protocol, because meshes read it there.
*/}}
{{- define "enforcer.requestPorts" -}}
{{- if eq .Values.mode "decision" }}
{{- range .Values.decision }}
{{- $tls := or $.Values.tls.enabled (not (empty .tls)) }}
{{- $grpc := eq .contract "envoy-grpc" }}
- name: {{ $grpc | ternary "grpc" ($tls | ternary "https" "http") }}-{{ .port }}
  contract: {{ .contract }}
  port: {{ .port }}
  targetPort: {{ .port }}
  {{- if and $grpc (not $tls) }}
  appProtocol: kubernetes.io/h2c
  {{- end }}
{{- end }}
{{- else }}
- name: {{ include "enforcer.scheme" . }}
  port: {{ .Values.service.port }}
  targetPort: {{ .Values.service.targetPort }}
  {{- with .Values.service.appProtocol }}
  appProtocol: {{ . }}
  {{- end }}
  {{- with .Values.service.nodePort }}
  nodePort: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Not empty if the mode includes the webhook. */}}
{{- define "enforcer.hasInjector" -}}
{{- if has .Values.mode (list "injector" "both") }}true{{ end -}}
{{- end -}}

{{/* Not empty if there is a pod for `helm test`: it sends requests as a client, which the decision API would refuse. */}}
{{- define "enforcer.tested" -}}
{{- if and .Values.tests.enabled (ne .Values.mode "decision") }}true{{ end -}}
{{- end -}}

{{/* The minimum number of pods. */}}
{{- define "enforcer.minReplicas" -}}
{{- .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas .Values.replicaCount | int -}}
{{- end -}}

{{/* Security contexts, without the user and group IDs that OpenShift chooses. */}}
{{- define "enforcer.podSecurityContext" -}}
{{- .Values.openshift.enabled | ternary (omit .Values.podSecurityContext "runAsUser" "runAsGroup" "fsGroup") .Values.podSecurityContext | toYaml -}}
{{- end -}}

{{- define "enforcer.securityContext" -}}
{{- .Values.openshift.enabled | ternary (omit .Values.securityContext "runAsUser" "runAsGroup") .Values.securityContext | toYaml -}}
{{- end -}}

{{/* The path that `helm test` requests. Its rule requires GET and a scope that no client has: 401, otherwise 403. */}}
{{- define "enforcer.testPath" -}}
/.well-known/enforcer-helm-test
{{- end -}}

{{- define "enforcer.testLabels" -}}
app.kubernetes.io/name: {{ include "enforcer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}
