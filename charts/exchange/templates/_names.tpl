{{- define "exchange.name" -}}
{{ .Values.nameOverride | default .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Labels that never change. Call with (list $ component). */}}
{{- define "exchange.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "exchange.name" $root }}
app.kubernetes.io/instance: {{ $root.Values.instance | default $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Call with (list $ component). */}}
{{- define "exchange.labels" -}}
{{ include "exchange.selector" . }}
app.kubernetes.io/part-of: {{ (index . 0).Values.partOf }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{/* A tag as a label: a tag may be longer than a label, and end in a character that a label may not. */}}
{{- define "exchange.version" -}}
{{ (.Values.image.tag | default "digest") | toString | trunc 63 | trimAll "-_." }}
{{- end }}

{{- define "exchange.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}

{{- define "exchange.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "exchange.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* The claim may be mounted by one pod alone. */}}
{{- define "exchange.singleWriter" -}}
{{- if and (eq .Values.media.type "pvc") (ne .Values.media.pvc.accessMode "ReadWriteMany") }}true{{ end }}
{{- end }}

{{- define "exchange.mediaClaim" -}}
{{ .Values.media.pvc.existingClaim | default (printf "%s-media" (include "exchange.name" .)) }}
{{- end }}
