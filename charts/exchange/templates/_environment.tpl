{{/*
Environment of a process. Call with (dict "root" $ "process" <map with env and secretEnv, and "direct" true for all but the
web's>). What env and secretEnv set replaces what the chart would.
*/}}
{{- define "exchange.environment" -}}
{{- $v := .root.Values }}
{{- $secrets := merge (dict) (.process.secretEnv | default dict) $v.secretEnv }}
{{- $texts := merge (dict) (.process.env | default dict) $v.env }}
{{- $set := concat (keys $secrets) (keys $texts) }}
{{- $db := $v.database }}
{{- if $db.host }}
{{- $host := ternary ($db.directHost | default $db.host) $db.host (default false .process.direct) }}
{{- $certificate := ternary $db.caPath "" (ne $db.caKey "") }}
{{- $fixed := list
      (list $db.env.host $host) (list $db.env.port $db.port) (list $db.env.name $db.name)
      (list $db.env.sslmode $db.sslmode) (list $db.env.sslrootcert $certificate) }}
{{- if $db.libpq.enabled }}
{{- $fixed = concat $fixed (list
      (list "PGSSLMODE" $db.sslmode) (list "PGSSLROOTCERT" $certificate)
      (list "PGTARGETSESSIONATTRS" $db.libpq.targetSessionAttrs) (list "PGCONNECT_TIMEOUT" $db.libpq.connectTimeoutSeconds)) }}
{{- end }}
{{- range $fixed }}
{{- if and (index . 0) (ne (toString (index . 1)) "") (not (has (index . 0) $set)) }}
- name: {{ index . 0 | quote }}
  value: {{ index . 1 | toString | quote }}
{{- end }}
{{- end }}
{{- range list (list $db.env.user $db.userKey) (list $db.env.password $db.passwordKey) }}
{{- if and (index . 0) (not (has (index . 0) $set)) }}
- name: {{ index . 0 | quote }}
  valueFrom: {secretKeyRef: {name: {{ $db.secret }}, key: {{ index . 1 }}}}
{{- end }}
{{- end }}
{{- if and $db.env.url (not (has $db.env.url $set)) }}
- name: "{{ $db.env.url }}_USER"
  valueFrom: {secretKeyRef: {name: {{ $db.secret }}, key: {{ $db.url.userKey }}}}
- name: "{{ $db.env.url }}_PASSWORD"
  valueFrom: {secretKeyRef: {name: {{ $db.secret }}, key: {{ $db.url.passwordKey }}}}
- name: {{ $db.env.url | quote }}
  value: {{ printf "%s://$(%s_USER):$(%s_PASSWORD)@%s:%d/%s?sslmode=%s%s" $db.url.scheme $db.env.url $db.env.url $host (int $db.port) $db.name $db.sslmode (ternary (printf "&sslrootcert=%s" $certificate) "" (ne $certificate "")) | quote }}
{{- end }}
{{- end }}
{{- with $v.image.versionEnv }}
{{- if not (has . $set) }}
- name: {{ . | quote }}
  value: {{ $v.image.digest | default $v.image.tag | toString | quote }}
{{- end }}
{{- end }}
{{- if $v.hosts }}
{{- $origins := list }}
{{- range $v.hosts }}{{ $origins = append $origins (printf "https://%s" .) }}{{ end }}
{{- range list (list $v.hostsEnv.allowedHosts $v.hosts) (list $v.hostsEnv.csrfTrustedOrigins $origins) }}
{{- if and (index . 0) (not (has (index . 0) $set)) }}
- name: {{ index . 0 | quote }}
  value: {{ join $v.hostsEnv.separator (index . 1) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $v.media.type "pvc") $v.media.pvc.pathEnv (not (has $v.media.pvc.pathEnv $set)) }}
- name: {{ $v.media.pvc.pathEnv | quote }}
  value: {{ $v.media.path | quote }}
{{- end }}
{{- if eq $v.media.type "s3" }}
{{- $s3 := $v.media.s3 }}
{{- range list (list $s3.env.bucket $s3.bucket) (list $s3.env.endpoint $s3.endpoint) (list $s3.env.region $s3.region) }}
{{- if and (index . 0) (index . 1) (not (has (index . 0) $set)) }}
- name: {{ index . 0 | quote }}
  value: {{ index . 1 | quote }}
{{- end }}
{{- end }}
{{- if $s3.secret }}
{{- range list (list $s3.env.accessKey $s3.accessKeyKey) (list $s3.env.secretKey $s3.secretKeyKey) }}
{{- if and (index . 0) (not (has (index . 0) $set)) }}
- name: {{ index . 0 | quote }}
  valueFrom: {secretKeyRef: {name: {{ $s3.secret }}, key: {{ index . 1 }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $reference := $secrets }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $reference.secret }}
      key: {{ $reference.key }}
      {{- if $reference.optional }}
      optional: true
      {{- end }}
{{- end }}
{{- range $name, $text := $texts }}
{{- if not (hasKey $secrets $name) }}
- name: {{ $name | quote }}
  value: {{ $text | toString | quote }}
{{- end }}
{{- end }}
{{- end }}
