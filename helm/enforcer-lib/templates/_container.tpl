{{/*
Whether to use the native sidecar: (dict "values" VALUES "app" APP "kubeVersion" VERSION), "true" or empty. Before
Kubernetes 1.32 a Service does not find the port of a native sidecar by its name (kubernetes#127958), which in mode port
would lead all requests nowhere, or past the enforcer.
*/}}
{{- define "enforcer.sidecar.isNative" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
{{- if semverCompare (eq $s.mode "port" | ternary ">=1.32.0-0" ">=1.29.0-0") .kubeVersion }}true{{ end -}}
{{- end -}}

{{/*
A list with the native sidecar, which starts before the app: for spec.initContainers. In mode port it needs Kubernetes 1.32,
if Services use the name of the port.
*/}}
{{- define "enforcer.sidecar.native" -}}
- {{- include "enforcer.sidecar.container" (merge (dict "native" true) .) | nindent 2 }}
{{- end -}}

{{/* A list with the classic sidecar: for spec.containers, on older clusters. */}}
{{- define "enforcer.sidecar.classic" -}}
- {{- include "enforcer.sidecar.container" (merge (dict "native" false) .) | nindent 2 }}
{{- end -}}

{{/* The container itself: (dict "values" VALUES "app" APP "native" BOOL). Equal to that of `enforcer inject`. */}}
{{- define "enforcer.sidecar.container" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
{{- $loopback := eq $s.mode "loopback" -}}
name: enforcer
image: {{ $s.image }}
imagePullPolicy: {{ $s.imagePullPolicy }}
command: [enforcer]
args:
  - run
  - /etc/enforcer/{{ $s.policyKey }}
  {{- range include "enforcer.sidecar.flat" (dict "settings" $s.config "before" "") | trim | splitList "\n" | compact }}
  - {{ printf "--set=%s" (replace "$" "$$" .) | toJson }}
  {{- end }}
  {{- with $s.logLevel }}
  - --set=log.level={{ . }}
  {{- end }}
  {{- with $s.logFormat }}
  - --set=log.format={{ . }}
  {{- end }}
  {{- if not $s.allowReportMode }}
  - --set=allow_report_mode=false
  {{- end }}
  - --set=timeouts.shutdown_delay={{ int $s.waitBeforeExitSeconds }}s
  - --set=timeouts.drain={{ int $s.drainSeconds }}s
  - --set=listener.address={{ if $loopback }}[$(POD_IPS)]:{{ int .app.port }}{{ else }}:{{ int $s.listenPort }}{{ end }}
  - --set=admin.address=:{{ int $s.adminPort }}
  - --set=upstream.url={{ $s.upstreamScheme }}://127.0.0.1:{{ int .app.port }}
env:
  - name: ENFORCER_CLIENT_ID_FILE
    value: /etc/enforcer-credentials/client-id
  - name: ENFORCER_CLIENT_SECRET_FILE
    value: /etc/enforcer-credentials/client-secret
  {{- if $loopback }}
  - name: POD_IPS
    valueFrom:
      fieldRef:
        fieldPath: status.podIPs
  {{- end }}
  {{- with include "enforcer.sidecar.storedProbes" . }}
  - name: ENFORCER_PROBES
    value: {{ replace "$" "$$" . | toJson }}
  {{- end }}
ports:
  {{- if not $loopback }}
  - name: {{ eq $s.mode "port" | ternary .app.portName "" | default "enforcer-proxy" }}
    containerPort: {{ int $s.listenPort }}
    protocol: TCP
  {{- end }}
  - name: enforcer-admin
    containerPort: {{ int $s.adminPort }}
    protocol: TCP
startupProbe:
  httpGet: {path: /readyz, port: {{ int $s.adminPort }}}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: {{ int $s.adminPort }}}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: {{ int $s.adminPort }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
resources: {{- include "enforcer.sidecar.resources" $s.resources | nindent 2 }}
securityContext: {{- include "enforcer.sidecar.securityContext" $s.runAsUser | nindent 2 }}
volumeMounts:
  - name: enforcer-policy
    mountPath: /etc/enforcer
    readOnly: true
  - name: enforcer-credentials
    mountPath: /etc/enforcer-credentials
    readOnly: true
  {{- if $s.serviceAccountToken.audience }}
  - name: enforcer-token
    mountPath: /etc/enforcer-token
    readOnly: true
  {{- end }}
  - name: enforcer-tmp
    mountPath: /tmp
{{- if .native }}
lifecycle:
  preStop:
    exec:
      command: [enforcer, drain]
restartPolicy: Always
{{- end }}
{{- end -}}

{{/* Resource quantities, without null values. */}}
{{- define "enforcer.sidecar.resources" -}}
{{- $set := dict -}}
{{- range $part, $quantities := . -}}
  {{- $given := dict -}}
  {{- range $name, $quantity := $quantities }}{{ if $quantity }}{{ $_ := set $given $name $quantity }}{{ end }}{{ end -}}
  {{- if $given }}{{ $_ := set $set $part $given }}{{ end -}}
{{- end -}}
{{- toYaml $set -}}
{{- end -}}

{{/* Everything that Pod Security *restricted* requires, whatever the pod sets; without user ID if OpenShift chooses it. */}}
{{- define "enforcer.sidecar.securityContext" -}}
runAsNonRoot: true
{{- if . }}
runAsUser: {{ int . }}
runAsGroup: {{ int . }}
{{- end }}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* A list with the init container of mode transparent, which needs NET_ADMIN: not *restricted*, and not *baseline*. */}}
{{- define "enforcer.sidecar.redirect" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
{{- if eq $s.mode "transparent" -}}
- name: enforcer-redirect
  image: {{ $s.image }}
  imagePullPolicy: {{ $s.imagePullPolicy }}
  command: [enforcer]
  args: [redirect, {{ int .app.port | quote }}, {{ int $s.listenPort | quote }}]
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 64Mi}
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    privileged: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [NET_ADMIN]
    seccompProfile:
      type: RuntimeDefault
{{- end -}}
{{- end -}}

{{/* The volumes that the container mounts: for spec.volumes. */}}
{{- define "enforcer.sidecar.volumes" -}}
{{- $s := include "enforcer.sidecar.settings" . | fromYaml -}}
- name: enforcer-policy
  configMap:
    name: {{ $s.policy }}
- name: enforcer-credentials
  secret:
    secretName: {{ $s.credentialsSecret }}
- name: enforcer-tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- with $s.serviceAccountToken }}
{{- if .audience }}
- name: enforcer-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .audience }}
          expirationSeconds: {{ int .expirationSeconds }}
          path: token
{{- end }}
{{- end }}
{{- end -}}
