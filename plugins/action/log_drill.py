"""Action log_drill: write numbered lines through a real pod, and say which of them can be read in Loki, and when.

Arguments: namespace (of Loki and of the pod), image (with python3), writer (a program's text), lines, rate (a second),
longest_p99_seconds, pull_secret, and the connection as kubernetes.core names it. Returns record, and report with table
and problems; a drill that could not be carried out is a record with a problem.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import log_canary
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.connection import client_of


class ActionModule(ActionBase):
    """Run the drill from the control node."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the drill; it takes as long as its lines and some seconds more."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "a drill can't be tried without being made"}
        arguments = self._task.args
        client = client_of(arguments)
        canary = log_canary.Canary(client, arguments["namespace"], log_canary.Loki(client, arguments["namespace"]))
        try:
            record = canary.run(
                arguments["image"],
                arguments["writer"],
                int(arguments["lines"]),
                float(arguments["rate"]),
                pull_secret=arguments.get("pull_secret") or "",
                say=self._display.display,
            )
        except (log_canary.CanaryError, *log_canary.UNREACHABLE) as error:
            record = {"problem": str(error)}
        report = log_canary.report(record, float(arguments["longest_p99_seconds"]))
        return {**result, "changed": True, "record": record, "report": report}
