{{/* What a schema can't say: rules across values. */}}
{{- define "exchange.check" -}}
{{- $v := .Values }}
{{- if le (int $v.web.terminationGraceSeconds) (int (add $v.web.preStopSeconds $v.web.gracefulTimeoutSeconds)) }}
  {{- fail (printf "web.terminationGraceSeconds is %d: expected more than web.preStopSeconds + web.gracefulTimeoutSeconds (%d), or requests are cut off" (int $v.web.terminationGraceSeconds) (int (add $v.web.preStopSeconds $v.web.gracefulTimeoutSeconds))) }}
{{- end }}
{{- if and (not $v.image.tag) (not $v.image.digest) }}
  {{- fail "image.tag is empty: expected a tag, or image.digest" }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.hosts) }}
  {{- fail "hosts is empty: expected at least one host name, since ingress.enabled is true" }}
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
  {{- fail (printf "autoscaling.minReplicas is %d: expected at most autoscaling.maxReplicas (%d)" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- end }}
{{- $auto := $v.autoscaling }}
{{- $asked := or $auto.requestsInFlight $auto.latencyP95Milliseconds }}
{{- if and $auto.enabled (not $auto.cpuPercent) (not $auto.memoryPercent) (not $asked) (not $auto.metrics) }}
  {{- fail "autoscaling.enabled is true: expected one of autoscaling.cpuPercent, autoscaling.memoryPercent, autoscaling.requestsInFlight, autoscaling.latencyP95Milliseconds, autoscaling.metrics" }}
{{- end }}
{{- if and $asked (eq $auto.source "none") }}
  {{- fail "autoscaling.source is none: expected prometheusAdapter or keda, since autoscaling.requestsInFlight or autoscaling.latencyP95Milliseconds is set" }}
{{- end }}
{{- if and $asked (eq $auto.source "keda") (not $auto.prometheusAddress) }}
  {{- fail "autoscaling.prometheusAddress is empty: expected an address, since autoscaling.source is keda" }}
{{- end }}
{{- if and $auto.metrics (eq $auto.source "keda") }}
  {{- fail "autoscaling.metrics is set: expected none, since autoscaling.source is keda" }}
{{- end }}
{{- if include "exchange.singleWriter" . }}
  {{- if or $v.autoscaling.enabled (ne (int $v.web.replicas) 1) }}
    {{- fail (printf "media.pvc.accessMode is %s: expected ReadWriteMany, or web.replicas 1 without autoscaling, since pods on several nodes can't mount the volume" $v.media.pvc.accessMode) }}
  {{- end }}
{{- end }}
{{- if and (eq $v.media.type "s3") (not $v.media.s3.bucket) }}
  {{- fail "media.s3.bucket is empty: expected a bucket, since media.type is s3" }}
{{- end }}
{{- range $name := keys $v.workers }}
  {{- if has $name (list "web" "migrate" "media") }}
    {{- fail (printf "workers.%s: expected another name, since %s is one of the chart's own" $name $name) }}
  {{- end }}
  {{- if hasKey $v.cronJobs $name }}
    {{- fail (printf "cronJobs.%s: expected another name, since a worker is called so" $name) }}
  {{- end }}
{{- end }}
{{- range $name := keys $v.cronJobs }}
  {{- if has $name (list "web" "migrate" "media") }}
    {{- fail (printf "cronJobs.%s: expected another name, since %s is one of the chart's own" $name $name) }}
  {{- end }}
{{- end }}
{{- $paths := list }}
{{- range $v.writablePaths }}{{ $paths = append $paths .path }}{{ end }}
{{- if $v.collectStatic.enabled }}{{ $paths = append $paths $v.collectStatic.path }}{{ end }}
{{- if eq $v.media.type "pvc" }}{{ $paths = append $paths $v.media.path }}{{ end }}
{{- if ne (len $paths) (len (uniq $paths)) }}
  {{- fail (printf "writablePaths, collectStatic.path and media.path: expected each path once, found %s" (join ", " $paths)) }}
{{- end }}
{{- end }}
