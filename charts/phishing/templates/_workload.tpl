{{/* The pods of a part: a Deployment, or a StatefulSet where each keeps a journal. */}}
{{- define "phishing.workload" -}}
{{- $root := .root }}
{{- $values := .root.Values }}
{{- $part := .part }}
{{- $object := include "phishing.object" . }}
{{- $stateful := $part.persistence.enabled }}
apiVersion: apps/v1
kind: {{ include "phishing.kind" . }}
metadata:
  name: {{ $object }}
  labels:
    {{- include "phishing.labels" . | nindent 4 }}
spec:
  {{- /* Who scales owns the field: an apply that named it would take it back. */}}
  {{- if not $part.autoscaling.enabled }}
  replicas: {{ int $part.replicaCount }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "phishing.selectorLabels" . | nindent 6 }}
  {{- if $stateful }}
  serviceName: {{ $object }}
  # Pods need nothing of each other: none waits for one that does not start.
  podManagementPolicy: Parallel
  updateStrategy: {type: RollingUpdate}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: journal
      spec:
        accessModes: [{{ $part.persistence.accessMode }}]
        {{- with $part.persistence.storageClass }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources:
          requests:
            storage: {{ $part.persistence.size }}
  {{- else }}
  strategy:
    type: RollingUpdate
    # A new pod is ready before an old one goes.
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "phishing.labels" . | nindent 8 }}
        {{- with $part.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        # Pods are replaced when what they read at their start changes.
        checksum/config: {{ .config | sha256sum }}
        {{- if $part.secrets }}
        checksum/secret: {{ include "phishing.secret" . | sha256sum }}
        {{- end }}
        {{- if $values.monitoring.annotations }}
        prometheus.io/scrape: "true"
        prometheus.io/path: /metrics
        prometheus.io/port: {{ int $part.containerPort | quote }}
        {{- end }}
        {{- with $part.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "phishing.serviceAccountName" . }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ int $part.terminationGracePeriodSeconds }}
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.podSecurityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "phishing.image" . | quote }}
          imagePullPolicy: {{ $part.image.pullPolicy }}
          envFrom:
            - configMapRef: {name: {{ $object }}}
            {{- if $part.secrets }}
            - secretRef: {name: {{ $object }}}
            {{- end }}
            {{- with $part.existingSecret }}
            - secretRef: {name: {{ . }}}
            {{- end }}
          {{- with $part.extraEnv }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - {name: http, containerPort: {{ int $part.containerPort }}, protocol: TCP}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            {{- toYaml $part.probes.startup | nindent 12 }}
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            {{- toYaml $part.probes.readiness | nindent 12 }}
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            {{- toYaml $part.probes.liveness | nindent 12 }}
          {{- with $part.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $values.securityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- if or $stateful $part.extraVolumeMounts }}
          volumeMounts:
            {{- if $stateful }}
            - {name: journal, mountPath: {{ $part.persistence.mountPath }}}
            {{- end }}
            {{- with $part.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- end }}
      {{- with $part.extraVolumes }}
      volumes:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $values.topologySpread.enabled }}
      topologySpreadConstraints:
        - maxSkew: {{ int $values.topologySpread.maxSkew }}
          topologyKey: kubernetes.io/hostname
          # A pod with a volume of a node has no choice: forbidding it there would stop it for good.
          whenUnsatisfiable: {{ if $stateful }}ScheduleAnyway{{ else }}{{ $values.topologySpread.whenUnsatisfiable }}{{ end }}
          nodeAffinityPolicy: Honor
          nodeTaintsPolicy: Honor
          labelSelector:
            matchLabels:
              {{- include "phishing.selectorLabels" . | nindent 14 }}
          # Pods of the revision before do not count while one follows the other.
          matchLabelKeys: [{{ if $stateful }}controller-revision-hash{{ else }}pod-template-hash{{ end }}]
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
