"""Callback for the oracle run: writes each task's raw result as one JSON line to ORACLE_RESULTS."""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: oracle_results
type: stdout
short_description: raw results
description: raw results of tasks as JSON lines
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "oracle_results"

    def _write(self, result, **more):
        line = {"host": result._host.name, "name": result._task.name, "result": dict(result._result, **more)}
        with open(os.environ["ORACLE_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._write(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write(result, failed=True)

    def v2_runner_on_skipped(self, result):
        self._write(result, skipped=True)
