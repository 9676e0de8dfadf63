{{/* Checks that a schema cannot express: required values, and values that exclude each other. Reports all errors at once. */}}
{{- define "enforcer.validate" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- if not $v.enabled }}{{ $wrong = append $wrong "enabled: false has an effect only in a chart that depends on this one with `condition: enforcer.enabled`" }}{{ end -}}
{{- with include "enforcer.upstreamUrl" . -}}
  {{- if not (regexMatch "^(https?://[^/?#@]+|unix:/.+)$" .) }}{{ $wrong = append $wrong (printf "upstream.url is not a server such as http://app:8080, without path: %s" .) }}{{ end -}}
{{- end -}}
{{- if and (ne $v.mode "injector") (not $v.existingConfigMap) -}}
  {{- if not (or (eq $v.mode "decision") (include "enforcer.upstreamUrl" .) $v.config.upstreams) }}{{ $wrong = append $wrong "upstream.url is required: the app's URL, such as http://app:8080" }}{{ end -}}
  {{- if or $v.introspection.url $v.introspection.issuer -}}
    {{- if not (or $v.introspection.clientId $v.introspection.existingSecret) }}{{ $wrong = append $wrong "introspection.clientId or introspection.existingSecret is required: the enforcer's own client at the authorization server" }}{{ end -}}
    {{- if not (include "enforcer.credentialsName" .) }}{{ $wrong = append $wrong "introspection.existingSecret or introspection.clientSecret is required: that client's secret" }}{{ end -}}
  {{- else if not $v.config.authorization_servers -}}
    {{- $wrong = append $wrong "introspection.url is required: the introspection endpoint of the authorization server; or introspection.issuer, if it publishes metadata" -}}
  {{- end -}}
  {{- if not (or $v.policy.rules $v.existingPolicyConfigMap (include "enforcer.tested" .)) }}{{ $wrong = append $wrong "policy.rules is empty: add rules" }}{{ end -}}
{{- end -}}
{{- if and $v.existingConfigMap $v.existingPolicyConfigMap }}{{ $wrong = append $wrong "existingPolicyConfigMap has no effect with existingConfigMap: list /etc/… in its rule_files, and mount the files with extraVolumes" }}{{ end -}}
{{- if and $v.introspection.clientSecret $v.introspection.existingSecret }}{{ $wrong = append $wrong "introspection.clientSecret and introspection.existingSecret are both set: choose one" }}{{ end -}}
{{- range $name := list "upstream" "introspection" -}}
  {{- $tls := (get $v $name).tls -}}
  {{- if and $tls.clientCertificate (not $tls.existingSecret) }}{{ $wrong = append $wrong (printf "%s.tls.clientCertificate needs %s.tls.existingSecret" $name $name) }}{{ end -}}
{{- end -}}
{{- if $v.tls.enabled -}}
  {{- if not (or $v.tls.existingSecret $v.tls.certManager.enabled) }}{{ $wrong = append $wrong "tls.enabled needs tls.existingSecret, or tls.certManager.enabled" }}{{ end -}}
{{- else if or $v.tls.existingSecret $v.tls.clientCa $v.tls.certManager.enabled -}}
  {{- $wrong = append $wrong "tls.existingSecret, tls.clientCa and tls.certManager have no effect without tls.enabled" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuerRef.name) }}{{ $wrong = append $wrong "tls.certManager.issuerRef.name is required" }}{{ end -}}
{{- $stopping := add $v.drain.delaySeconds $v.drain.seconds -}}
{{- if ge (int $stopping) (int $v.terminationGracePeriodSeconds) }}{{ $wrong = append $wrong (printf "terminationGracePeriodSeconds (%v) must be more than drain.delaySeconds and drain.seconds together (%v), or pods are killed while requests are running" $v.terminationGracePeriodSeconds $stopping) }}{{ end -}}
{{- if eq $v.mode "decision" -}}
  {{- $ports := list (int $v.metrics.port) -}}
  {{- range $v.decision -}}
    {{- if has (int .port) $ports }}{{ $wrong = append $wrong (printf "decision: port %v is used twice, or is metrics.port" .port) }}{{ end -}}
    {{- $ports = append $ports (int .port) -}}
  {{- end -}}
  {{- if not $v.decision }}{{ $wrong = append $wrong "decision is empty: list the ports of the decision API, each with its contract" }}{{ end -}}
  {{- if or (include "enforcer.upstreamUrl" .) $v.config.upstreams }}{{ $wrong = append $wrong "upstream.url and config.upstreams are for mode gateway: in mode decision, the gateway forwards requests" }}{{ end -}}
  {{- if $v.config.decision }}{{ $wrong = append $wrong "config.decision must be set as decision, which has a port instead of an address" }}{{ end -}}
  {{- if or $v.ingress.enabled $v.httpRoute.enabled }}{{ $wrong = append $wrong "ingress.enabled and httpRoute.enabled are for mode gateway: clients must not reach the decision API" }}{{ end -}}
  {{- if or $v.service.appProtocol $v.service.nodePort }}{{ $wrong = append $wrong "service.appProtocol and service.nodePort are for mode gateway: the Service has a port for each entry of decision" }}{{ end -}}
  {{- if and $v.networkPolicy.enabled (not $v.networkPolicy.ingress.from) }}{{ $wrong = append $wrong "networkPolicy.ingress.from is required in mode decision: the gateway's pods, or their namespace" }}{{ end -}}
  {{- if $v.tests.requests }}{{ $wrong = append $wrong "tests.requests are for mode gateway: nobody but a gateway may send requests to the decision API" }}{{ end -}}
{{- else -}}
  {{- if $v.decision }}{{ $wrong = append $wrong "decision is for mode decision" }}{{ end -}}
  {{- if eq (int $v.service.targetPort) (int $v.metrics.port) }}{{ $wrong = append $wrong "service.targetPort and metrics.port are the same port" }}{{ end -}}
{{- end -}}
{{- if eq $v.service.type "ClusterIP" -}}
  {{- if $v.service.nodePort }}{{ $wrong = append $wrong "service.nodePort is for service.type NodePort or LoadBalancer" }}{{ end -}}
  {{- if $v.service.externalTrafficPolicy }}{{ $wrong = append $wrong "service.externalTrafficPolicy is for service.type NodePort or LoadBalancer" }}{{ end -}}
{{- end -}}
{{- if ne $v.service.type "LoadBalancer" -}}
  {{- if or $v.service.loadBalancerClass $v.service.loadBalancerSourceRanges }}{{ $wrong = append $wrong "service.loadBalancerClass and loadBalancerSourceRanges are for service.type LoadBalancer" }}{{ end -}}
{{- end -}}
{{- with $v.networkPolicy -}}
  {{- if and .egress.enabled (not .enabled) }}{{ $wrong = append $wrong "networkPolicy.egress.enabled has no effect without networkPolicy.enabled" }}{{ end -}}
  {{- if and .egress.enabled (not .egress.rules) }}{{ $wrong = append $wrong "networkPolicy.egress.rules is empty, so that the enforcer could reach neither the app nor the authorization server: add them" }}{{ end -}}
{{- end -}}
{{- if and (eq $v.service.ipFamilyPolicy "SingleStack") (gt (len $v.service.ipFamilies) 1) }}{{ $wrong = append $wrong "service.ipFamilies has two families, and service.ipFamilyPolicy is SingleStack" }}{{ end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}{{ $wrong = append $wrong "ingress.hosts is required" }}{{ end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}{{ $wrong = append $wrong "httpRoute.parentRefs is required: the gateways that the route attaches to" }}{{ end -}}
{{- with $v.autoscaling -}}
{{- if .enabled -}}
  {{- if gt (int .minReplicas) (int .maxReplicas) }}{{ $wrong = append $wrong "autoscaling.minReplicas is more than autoscaling.maxReplicas" }}{{ end -}}
  {{- if not (or .targetCPUUtilizationPercentage .targetMemoryUtilizationPercentage .metrics) }}{{ $wrong = append $wrong "autoscaling needs a target or metrics" }}{{ end -}}
  {{- if and .targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" $v.resources)) }}{{ $wrong = append $wrong "autoscaling.targetCPUUtilizationPercentage requires resources.requests.cpu" }}{{ end -}}
  {{- if and .targetMemoryUtilizationPercentage (not (dig "requests" "memory" "" $v.resources)) }}{{ $wrong = append $wrong "autoscaling.targetMemoryUtilizationPercentage requires resources.requests.memory" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $v.podDisruptionBudget -}}
  {{- if and .enabled (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) }}{{ $wrong = append $wrong "podDisruptionBudget needs minAvailable or maxUnavailable" }}{{ end -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled }}{{ $wrong = append $wrong "metrics.serviceMonitor and metrics.podMonitor would count everything twice: enable one" }}{{ end -}}
{{- if and (include "enforcer.tested" .) $v.tls.clientCa }}{{ $wrong = append $wrong "tests.enabled must be false with tls.clientCa: the test's pod has no client certificate" }}{{ end -}}
{{- with $v.tests -}}
  {{- range .requests -}}
    {{- if and .scope (not $v.tests.client.tokenUrl) }}{{ $wrong = append $wrong "tests.requests with a scope need tests.client" }}{{ end -}}
  {{- end -}}
  {{- if and .client.tokenUrl (not (and .client.clientId .client.existingSecret)) }}{{ $wrong = append $wrong "tests.client.tokenUrl needs tests.client.clientId and tests.client.existingSecret" }}{{ end -}}
{{- end -}}
{{- with $v.injector.tls -}}
  {{- if and (eq .mode "provided") (not (and .existingSecret .caBundle)) }}{{ $wrong = append $wrong "injector.tls.mode provided needs injector.tls.existingSecret and injector.tls.caBundle" }}{{ end -}}
  {{- if and (eq .mode "certManager") (not .issuerRef.name) }}{{ $wrong = append $wrong "injector.tls.mode certManager needs injector.tls.issuerRef.name" }}{{ end -}}
  {{- if and (ne .mode "provided") .caBundle }}{{ $wrong = append $wrong "injector.tls.caBundle is for injector.tls.mode provided: in the other modes it is set at run time" }}{{ end -}}
{{- end -}}
{{- if and $v.injector.clientNames (not $v.injector.clientCa) }}{{ $wrong = append $wrong "injector.clientNames needs injector.clientCa" }}{{ end -}}
{{- if $wrong }}{{ fail (printf "\n\n%s\n" (join "\n" (uniq $wrong))) }}{{ end -}}
{{- end -}}
