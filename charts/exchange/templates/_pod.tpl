{{/* Metadata of a pod. Call with (dict "root" $ "component" "web" "annotations" <map>). */}}
{{- define "exchange.podMetadata" -}}
{{- $v := .root.Values }}
{{- $annotations := merge (dict) (.annotations | default dict) $v.podAnnotations }}
{{- range $name, $hash := $v.checksums }}
{{- $_ := set $annotations (printf "checksum/%s" $name) $hash }}
{{- end -}}
labels:
  {{- include "exchange.labels" (list .root .component) | nindent 2 }}
  app.kubernetes.io/version: {{ include "exchange.version" .root | quote }}
  {{- with $v.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What all pods share of their spec. Call with (dict "root" $ "component" "web" "serviceAccount" "name" "spread" true). */}}
{{- define "exchange.podShared" -}}
{{- $v := .root.Values -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- with $v.podSecurity.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with $v.podSecurity.runAsGroup }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  {{- with $v.podSecurity.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with $v.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .spread $v.topologySpread.keys }}
topologySpreadConstraints:
  {{- range $v.topologySpread.keys }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
    # A rollout's new pods spread by themselves, whatever the old ones do.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "exchange.selector" (list $.root $.component) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Volumes. Call with (dict "root" $ "media" true "static" true). */}}
{{- define "exchange.volumes" -}}
{{- $v := .root.Values }}
{{- range $index, $writable := $v.writablePaths }}
- name: writable-{{ $index }}
  {{- if $writable.sizeLimit }}
  emptyDir: {sizeLimit: {{ $writable.sizeLimit }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- if .static }}
- name: static
  emptyDir: {}
{{- end }}
{{- if and $v.database.host $v.database.caKey }}
- name: database-ca
  secret:
    secretName: {{ $v.database.secret }}
    items: [{key: {{ $v.database.caKey }}, path: {{ base $v.database.caPath }}}]
{{- end }}
{{- if .media }}
- name: media
  persistentVolumeClaim: {claimName: {{ include "exchange.mediaClaim" .root }}}
{{- end }}
{{- with $v.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Mounts. Call like exchange.volumes. */}}
{{- define "exchange.mounts" -}}
{{- $v := .root.Values }}
{{- range $index, $writable := $v.writablePaths }}
- {name: writable-{{ $index }}, mountPath: {{ $writable.path }}}
{{- end }}
{{- if .static }}
- {name: static, mountPath: {{ $v.collectStatic.path }}}
{{- end }}
{{- if and $v.database.host $v.database.caKey }}
- {name: database-ca, mountPath: {{ dir $v.database.caPath }}, readOnly: true}
{{- end }}
{{- if .media }}
- {name: media, mountPath: {{ $v.media.path }}}
{{- end }}
{{- with $v.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Init containers that copy what the image has in a directory into the volume that covers it. */}}
{{- define "exchange.seeds" -}}
{{- $v := .root.Values }}
{{- range $index, $writable := $v.writablePaths }}
{{- if $writable.seed }}
- name: seed-{{ $index }}
  image: {{ include "exchange.image" $.root }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" $writable.path) | quote }}, /seed/]
  volumeMounts:
    - {name: writable-{{ $index }}, mountPath: /seed}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 128Mi}
  {{- include "exchange.containerSecurity" $.root | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "exchange.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ .Values.podSecurity.readOnlyRootFilesystem }}
  capabilities: {drop: [ALL]}
{{- end }}

{{/*
A container of the image up to its ports and probes. Call with (dict "root" $ "name" "web" "process" <map with command,
args, env, secretEnv> "resources" <map> "media" false "static" false).
*/}}
{{- define "exchange.container" -}}
{{- $v := .root.Values -}}
name: {{ .name }}
image: {{ include "exchange.image" .root }}
imagePullPolicy: {{ $v.image.pullPolicy }}
{{- with .process.command }}
command: {{ toJson . }}
{{- end }}
{{- with .process.args }}
args: {{ toJson . }}
{{- end }}
{{- with $v.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "exchange.environment" (dict "root" .root "process" .process) | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "exchange.mounts" . | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .resources | nindent 2 }}
{{ include "exchange.containerSecurity" .root }}
{{- end }}

{{/* A probe. Call with (list $ <startup, liveness or readiness values>). */}}
{{- define "exchange.probe" -}}
{{- $v := (index . 0).Values }}
{{- $probe := index . 1 }}
{{- if eq $v.probes.type "tcp" }}
tcpSocket: {port: http}
{{- else }}
httpGet:
  path: {{ $probe.path }}
  port: http
  {{- $headers := dict }}
  {{- range $name, $value := $v.probes.headers }}{{ $_ := set $headers $name $value }}{{ end }}
  {{- with $v.probes.host | default (first ($v.hosts | default (list ""))) }}{{ $_ := set $headers "Host" . }}{{ end }}
  {{- if $headers }}
  httpHeaders:
    {{- range $name, $value := $headers }}
    - {name: {{ $name }}, value: {{ $value | quote }}}
    {{- end }}
  {{- end }}
{{- end }}
periodSeconds: {{ $probe.periodSeconds }}
timeoutSeconds: {{ $probe.timeoutSeconds }}
failureThreshold: {{ $probe.failureThreshold }}
{{- end }}
