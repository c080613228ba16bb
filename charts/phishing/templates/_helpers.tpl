{{/* The chart's name, as labels have it. */}}
{{- define "phishing.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
What names of objects begin with: the release's name, which no other release of its namespace has. (With the chart's name added
where the release's lacks it, as many charts do, releases `a` and `a-phishing` would have the same objects.) Names of pods and of
their revisions are longer, so a long name is cut, and told apart by its hash.
*/}}
{{- define "phishing.fullname" -}}
{{- $name := default .Release.Name .Values.fullnameOverride }}
{{- if gt (len $name) 38 }}
{{- printf "%s-%s" (trunc 29 $name | trimSuffix "-") (sha256sum $name | trunc 8) }}
{{- else }}
{{- $name }}
{{- end }}
{{- end }}

{{- define "phishing.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What follows takes `dict "root" $ "component" NAME "part" VALUES`: a part of the chart is `app` or `model-service`. */}}

{{- define "phishing.object" -}}
{{- printf "%s-%s" (include "phishing.fullname" .root) .component }}
{{- end }}

{{/* Labels that never change in a release's life: a selector cannot. */}}
{{- define "phishing.selectorLabels" -}}
app.kubernetes.io/name: {{ include "phishing.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "phishing.labels" -}}
helm.sh/chart: {{ include "phishing.chart" .root }}
{{ include "phishing.selectorLabels" . }}
{{- with .root.Chart.AppVersion }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "phishing.serviceAccountName" -}}
{{- if .part.serviceAccount.create }}
{{- default (include "phishing.object" .) .part.serviceAccount.name }}
{{- else }}
{{- default "default" .part.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* By digest where there is one, else by tag. */}}
{{- define "phishing.image" -}}
{{- if .part.image.digest }}
{{- printf "%s@%s" .part.image.repository .part.image.digest }}
{{- else }}
{{- printf "%s:%s" .part.image.repository (.part.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* A volume that is one pod's own needs a StatefulSet: pods of a Deployment would share one claim. */}}
{{- define "phishing.kind" -}}
{{- if .part.persistence.enabled }}StatefulSet{{ else }}Deployment{{ end }}
{{- end }}
