"""Action job: run a Kubernetes Job to its end, and show its log as it comes.

Arguments: definition (the Job, with its namespace; one of that name that is left over is removed first),
timeout_seconds, and the connection as kubernetes.core names it. Returns log, the lines of its last pod, answer, the
message that its container left, and began and ended, in seconds since 1970. A Job that fails or takes too long fails
the task, with its last line.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.connection import client_of
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.jobs import JobError, Runner


class ActionModule(ActionBase):
    """Run one Job from the control node."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the Job."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "a Job can't be tried without being made"}
        definition = self._task.args["definition"]
        runner = Runner(client_of(self._task.args), definition["metadata"]["namespace"])
        began = time.time()
        try:
            done = runner.run(definition, float(self._task.args["timeout_seconds"]), self._display.display)
        except JobError as error:
            return {**result, "failed": True, "changed": True, "msg": str(error)}
        return {**result, "changed": True, "log": done.log, "answer": done.answer, "began": began, "ended": time.time()}
