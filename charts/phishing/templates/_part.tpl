{{/* The objects that both parts have, but for the ConfigMap; takes `dict "root" $ "component" NAME "part" VALUES "public" BOOL`. */}}

{{- define "phishing.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "phishing.serviceAccountName" . }}
  labels:
    {{- include "phishing.labels" . | nindent 4 }}
  {{- with .part.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# It never speaks to the API.
automountServiceAccountToken: false
{{- end }}

{{- define "phishing.secret" -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ include "phishing.object" . }}
  labels:
    {{- include "phishing.labels" . | nindent 4 }}
type: Opaque
data:
  {{- range $name, $value := .part.secrets }}
  {{ $name }}: {{ $value | b64enc | quote }}
  {{- end }}
{{- end }}

{{- define "phishing.service" -}}
{{- $service := .root.Values.service }}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "phishing.object" . }}
  labels:
    {{- include "phishing.labels" . | nindent 4 }}
  {{- if .public }}
  {{- with $service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
spec:
  type: {{ if .public }}{{ $service.type }}{{ else }}ClusterIP{{ end }}
  selector:
    {{- include "phishing.selectorLabels" . | nindent 4 }}
  ports:
    - name: http
      port: {{ if .public }}{{ int $service.port }}{{ else }}80{{ end }}
      targetPort: http
      protocol: TCP
      appProtocol: http
  {{- if .public }}
  {{- with $service.externalIPs }}
  externalIPs:
    {{- range . }}
    - {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- end }}
{{- end }}

{{/* All pods of the part that shows the page, one address each: whoever shows the experiment asks every one. */}}
{{- define "phishing.pods" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "phishing.object" . }}-pods
  labels:
    {{- include "phishing.labels" . | nindent 4 }}
    # The pods are scraped once, by their other Service.
    prometheus.io/service-monitor: "false"
spec:
  type: ClusterIP
  clusterIP: None
  # A pod that is not ready has votes too: it is asked, and missed if it does not answer.
  publishNotReadyAddresses: true
  selector:
    {{- include "phishing.selectorLabels" . | nindent 4 }}
  ports:
    - name: http
      port: {{ int .part.containerPort }}
      targetPort: http
      protocol: TCP
      appProtocol: http
{{- end }}

{{/* Where the experiment's counts are: this release's pods, and what the values name beside them. */}}
{{- define "phishing.counts" -}}
{{- $own := printf "http://%s-pods:%d/metrics" (include "phishing.object" .) (int .part.containerPort) -}}
{{- concat (list $own) .root.Values.experiment.countsFrom | join " " -}}
{{- end }}

{{- define "phishing.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "phishing.object" . }}
  labels:
    {{- include "phishing.labels" . | nindent 4 }}
spec:
  {{- $most := .part.podDisruptionBudget.maxUnavailable }}
  maxUnavailable: {{ if kindIs "string" $most }}{{ $most | quote }}{{ else }}{{ int $most }}{{ end }}
  # A pod that does not answer protects nobody.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "phishing.selectorLabels" . | nindent 6 }}
{{- end }}

{{- define "phishing.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "phishing.object" . }}
  labels:
    {{- include "phishing.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ include "phishing.kind" . }}
    name: {{ include "phishing.object" . }}
  minReplicas: {{ int .part.autoscaling.minReplicas }}
  maxReplicas: {{ int .part.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ int .part.autoscaling.cpuPercent }}}
{{- end }}

{{/* All of a part, as documents. */}}
{{- define "phishing.part" -}}
{{- if .part.serviceAccount.create }}
---
{{ include "phishing.serviceAccount" . }}
{{- end }}
{{- if .part.secrets }}
---
{{ include "phishing.secret" . }}
{{- end }}
---
{{ include "phishing.service" . }}
{{- if .public }}
---
{{ include "phishing.pods" . }}
{{- end }}
{{- if .part.podDisruptionBudget.enabled }}
---
{{ include "phishing.podDisruptionBudget" . }}
{{- end }}
{{- if .part.autoscaling.enabled }}
---
{{ include "phishing.autoscaler" . }}
{{- end }}
---
{{ include "phishing.workload" . }}
{{- end }}
