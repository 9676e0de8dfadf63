{{/*
The settings of a sidecar: (dict "values" VALUES "app" APP), the values over the defaults. An unknown value is an error,
because ignoring it would protect the app in another way than was meant. `enforcer inject --set` has the same keys.
*/}}
{{- define "enforcer.sidecar.settings" -}}
{{- $settings := fromYaml (include "enforcer.sidecar.defaults" .) -}}
{{- range $name, $value := .values -}}
  {{- if not (hasKey $settings $name) }}{{ fail (printf "\n\nunknown key %q in the enforcer's values; known: %s\n" $name (keys $settings | sortAlpha | join ", ")) }}{{ end -}}
  {{- if and (kindIs "map" $value) (ne $name "config") -}}
    {{- range $inner, $said := $value -}}
      {{- if kindIs "map" $said -}}
        {{- range $innermost, $quantity := $said }}{{ $_ := set (get (get $settings $name) $inner) $innermost $quantity }}{{ end -}}
      {{- else -}}
        {{- $_ := set (get $settings $name) $inner $said -}}
      {{- end -}}
    {{- end -}}
  {{- else -}}
    {{- $_ := set $settings $name $value -}}
  {{- end -}}
{{- end -}}
{{- if not (has $settings.mode (list "port" "loopback" "transparent")) }}{{ fail (printf "\n\nthe enforcer's mode is port, loopback or transparent, and not %q\n" $settings.mode) }}{{ end -}}
{{- range $name := list "policy" "credentialsSecret" -}}
  {{- if not (get $settings $name) }}{{ fail (printf "\n\nthe enforcer needs the value %s\n" $name) }}{{ end -}}
{{- end -}}
{{- if not .app.port }}{{ fail "\n\nthe enforcer needs the app's port: (dict \"port\" 8080 …)\n" }}{{ end -}}
{{- toYaml $settings -}}
{{- end -}}

{{- define "enforcer.sidecar.defaults" -}}
image: token-enforcer:0.1.0
imagePullPolicy: IfNotPresent
# port: the enforcer has a port of its own, and the name of the app's; loopback: the app is on 127.0.0.1, and the enforcer
# on the pod's addresses; transparent: the pod's network leads the app's port to the enforcer.
mode: port
# ConfigMap with the policy, and the key in it.
policy: ""
policyKey: config.yaml
# Secret with client-id and client-secret.
credentialsSecret: ""
listenPort: 15080
adminPort: 15081
runAsUser: 65532
resources:
  requests: {cpu: 100m, memory: 128Mi}
  limits: {memory: 768Mi}
logLevel: ""
logFormat: ""
drainSeconds: 20
waitBeforeExitSeconds: 5
upstreamScheme: http
# Whether the policy may use report mode; with false, the enforcer refuses such a policy.
allowReportMode: true
# More settings of the enforcer, over the policy's.
config: {}
serviceAccountToken: {audience: "", expirationSeconds: 3600}
monitoringNamespace: monitoring
{{- end -}}

{{/* Settings in the form of `--set`, one per line: (dict "settings" MAP "before" ""). */}}
{{- define "enforcer.sidecar.flat" -}}
{{- range $name, $value := .settings }}
{{- if and (kindIs "map" $value) $value }}
{{- include "enforcer.sidecar.flat" (dict "settings" $value "before" (printf "%s%s." $.before $name)) }}
{{- else }}
{{ printf "%s%s=%s" $.before $name (toJson $value) }}
{{- end }}
{{- end }}
{{- end -}}
