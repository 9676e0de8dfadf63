{{/*
The configuration: derived from the values, overridden by .Values.config. It does not contain addresses and drain times:
the Deployment sets them, also for an existing ConfigMap.
*/}}
{{- define "enforcer.config" -}}
{{- $upstream := dict -}}
{{- with .Values.upstream.url }}{{ $_ := set $upstream "url" (include "enforcer.tpl" (list $ .)) }}{{ end -}}
{{- with include "enforcer.clientTls" (list .Values.upstream.tls "/etc/enforcer-upstream-tls") | fromYaml }}{{ $_ := set $upstream "tls" . }}{{ end -}}
{{- $derived := dict "log" (dict "format" "json") -}}
{{- if $upstream }}{{ $_ := set $derived "upstream" $upstream }}{{ end -}}
{{- with .Values.introspection -}}
  {{- if or .url .issuer -}}
    {{- $server := dict -}}
    {{- with .url }}{{ $_ := set $server "introspection_endpoint" (include "enforcer.tpl" (list $ .)) }}{{ end -}}
    {{- with .issuer }}{{ $_ := set $server "issuer" (include "enforcer.tpl" (list $ .)) }}{{ end -}}
    {{- with .audience }}{{ $_ := set $server "audience" (include "enforcer.tpl" (list $ .) | fromYamlArray) }}{{ end -}}
    {{- $_ := set $server "client_id" (include "enforcer.tpl" (list $ .clientId) | default (dict "file" (printf "/etc/enforcer-credentials/%s" .existingSecretKeys.clientId))) -}}
    {{- $_ := set $server "client_secret" (dict "file" (printf "/etc/enforcer-credentials/%s" .existingSecretKeys.clientSecret)) -}}
    {{- with include "enforcer.clientTls" (list .tls "/etc/enforcer-introspection-tls") | fromYaml }}{{ $_ := set $server "tls" . }}{{ end -}}
    {{- $_ := set $derived "authorization_servers" (list $server) -}}
  {{- end -}}
{{- end -}}
{{- $tls := dict -}}
{{- if .Values.tls.enabled -}}
  {{- $tls = dict "certificate" "/etc/enforcer-tls/tls.crt" "key" "/etc/enforcer-tls/tls.key" -}}
  {{- if .Values.tls.clientCa }}{{ $_ := set $tls "client_ca" "/etc/enforcer-tls/ca.crt" }}{{ end -}}
  {{- if ne .Values.mode "decision" }}{{ $_ := set $derived "listener" (dict "tls" $tls) }}{{ end -}}
{{- end -}}
{{- if eq .Values.mode "decision" -}}
  {{- $listeners := list -}}
  {{- range .Values.decision -}}
    {{- $listener := mustMerge (dict "address" (printf ":%v" .port)) (omit . "port") -}}
    {{- if and $tls (not .tls) }}{{ $_ := set $listener "tls" $tls }}{{ end -}}
    {{- $listeners = append $listeners $listener -}}
  {{- end -}}
  {{- $_ := set $derived "decision" $listeners -}}
{{- end -}}
{{- $rules := .Values.policy.rules -}}
{{- if include "enforcer.tested" . -}}
  {{- $test := dict "name" "helm test" "path" (include "enforcer.testPath" .) "methods" (list "GET") "scopes" (list "enforcer-helm-test") -}}
  {{- if and (not (include "enforcer.upstreamUrl" .)) .Values.config.upstreams }}{{ $_ := set $test "upstream" (keys .Values.config.upstreams | sortAlpha | first) }}{{ end -}}
  {{- $rules = append $rules $test -}}
{{- end -}}
{{- if $rules }}{{ $_ := set $derived "rules" $rules }}{{ end -}}
{{- if .Values.existingPolicyConfigMap }}{{ $_ := set $derived "rule_files" (list "/etc/enforcer-rules") }}{{ end -}}
{{- mustMergeOverwrite $derived (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{/* The app's URL; empty if there are several upstreams. */}}
{{- define "enforcer.upstreamUrl" -}}
{{- include "enforcer.tpl" (list . .Values.upstream.url) | default (dig "upstream" "url" "" .Values.config) -}}
{{- end -}}

{{/* TLS settings for a server: (list values folder), with the folder of its secret. */}}
{{- define "enforcer.clientTls" -}}
{{- $tls := index . 0 -}}
{{- $folder := index . 1 -}}
{{- $set := dict -}}
{{- if $tls.existingSecret }}{{ $_ := set $set "ca" (printf "%s/ca.crt" $folder) }}{{ end -}}
{{- if $tls.serverName }}{{ $_ := set $set "server_name" $tls.serverName }}{{ end -}}
{{- if $tls.clientCertificate -}}
  {{- $_ := set $set "certificate" (printf "%s/tls.crt" $folder) -}}
  {{- $_ := set $set "key" (printf "%s/tls.key" $folder) -}}
{{- end -}}
{{- toYaml $set -}}
{{- end -}}
