{{/*
What the objects are made of. A chart of yours can include `keygate.sidecar` and `keygate.volumes`
with `.Subcharts.keygate` (or its alias) as the context.
*/}}

{{- define "keygate.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{/* Several APIs can live in a namespace, each with a keygate of its own. */}}
{{- define "keygate.configName" -}}
{{- $name := include "keygate.name" . -}}
{{- if contains "keygate" $name }}{{ $name }}{{ else }}{{ $name }}-keygate{{ end -}}
{{- end }}

{{- define "keygate.selector" -}}
app.kubernetes.io/name: {{ include "keygate.name" . }}
{{- end }}

{{- define "keygate.labels" -}}
{{ include "keygate.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "keygate.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "keygate.upstream" -}}
{{- if eq .Values.mode "standalone" }}{{ .Values.upstream.url }}
{{- else if .Values.app.socket }}unix:/run/app/{{ .Values.app.socket }}
{{- else }}http://127.0.0.1:{{ .Values.app.port }}{{ end -}}
{{- end }}

{{- define "keygate.config" -}}
{{- if .Values.config.text }}{{ .Values.config.text }}{{ else -}}
[listen]
https = "0.0.0.0:8443"
# Probes and Prometheus come to the pod's address; the network policy keeps others away.
admin = "0.0.0.0:9090"

[tls]
certificate = "/secrets/tls/tls.crt"
private_key = "/secrets/tls/tls.key"

[upstream]
url = {{ include "keygate.upstream" . | toJson }}

[keys]
files = ["/secrets/keys"]

[drain]
# Load balancers need a moment to learn that the pod is going.
delay = "{{ .Values.drain.delaySeconds }}s"
timeout = "{{ .Values.drain.timeoutSeconds }}s"
{{- with .Values.config.extra }}

{{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "keygate.restricted" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}

{{/* keygate as one of `containers`. */}}
{{- define "keygate.container" -}}
name: keygate
image: {{ include "keygate.image" . }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
args: ["run", "--config", "/etc/keygate/keygate.toml"]
ports:
  - name: https
    containerPort: 8443
  - name: admin
    containerPort: 9090
startupProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 1
  failureThreshold: 30
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 2
  failureThreshold: 1
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "keygate.restricted" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - name: config
    mountPath: /etc/keygate
    readOnly: true
  - name: keys
    mountPath: /secrets/keys
    readOnly: true
  - name: tls
    mountPath: /secrets/tls
    readOnly: true
{{- if and .Values.app.socket (ne .Values.mode "standalone") }}
  - name: app
    mountPath: /run/app
{{- end }}
{{- end }}

{{/* keygate as one of `initContainers`: a native sidecar. */}}
{{- define "keygate.sidecar" -}}
{{- if semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "Kubernetes %s knows no native sidecars: set `mode: plain-sidecar`" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{ include "keygate.container" . }}
restartPolicy: Always
{{- end }}

{{/* The volumes that either of them mounts. */}}
{{- define "keygate.volumes" -}}
- name: config
  configMap:
    name: {{ include "keygate.configName" . }}
- name: keys
  secret:
    secretName: {{ .Values.secrets.keys }}
    defaultMode: 0440
- name: tls
  secret:
    secretName: {{ .Values.secrets.tls }}
    defaultMode: 0440
{{- if and .Values.app.socket (ne .Values.mode "standalone") }}
- name: app
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}
{{- end }}

{{/*
How long the API goes on before it is told to end. An ordinary sidecar gets its SIGTERM at the same
time, and may take as long as its drain; a native one gets it when the API has ended.
*/}}
{{- define "keygate.stopDelay" -}}
{{- if eq .Values.mode "plain-sidecar" -}}
{{- add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 1 -}}
{{- else -}}
{{- .Values.app.stopDelaySeconds -}}
{{- end -}}
{{- end }}

{{- define "keygate.app" -}}
{{- $app := deepCopy .Values.app.container -}}
{{- if not (hasKey $app "lifecycle") -}}
{{- $sleep := list "sleep" (include "keygate.stopDelay" .) -}}
{{- $_ := set $app "lifecycle" (dict "preStop" (dict "exec" (dict "command" $sleep))) -}}
{{- end -}}
{{- if .Values.app.socket -}}
{{- $mounts := append ($app.volumeMounts | default list) (dict "name" "app" "mountPath" "/run/app") -}}
{{- $_ := set $app "volumeMounts" $mounts -}}
{{- end -}}
{{- toYaml $app -}}
{{- end }}

{{/* Refuses what would be killed before it is through. */}}
{{- define "keygate.grace" -}}
{{- $need := add .Values.drain.delaySeconds .Values.drain.timeoutSeconds -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $need = add $need .Values.app.stopDelaySeconds .Values.app.stopSeconds -}}
{{- else if eq .Values.mode "plain-sidecar" -}}
{{- $need = add (include "keygate.stopDelay" .) .Values.app.stopSeconds -}}
{{- end -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int $need) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and ending takes up to %d seconds: raise it, or lower `drain`" (int .Values.terminationGracePeriodSeconds) (int $need)) -}}
{{- end -}}
{{- .Values.terminationGracePeriodSeconds -}}
{{- end }}
