"""Action postgres_drill: disturb a live database while a writer writes, and say what became of it.

Arguments: drill (a name of drill_faults.FAULTS), database_namespace, app_namespace, selector, writer (a program's
text), node_freeze_command and node_thaw_command (lists of words), and the connection as kubernetes.core names it.
Returns record; a drill that could not be carried out is a record with a problem, so that the others are still told.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.connection import client_of
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_cluster import DrillCluster, DrillError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_faults import FAULTS, Nodes
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.drill_trial import run_trial


class ActionModule(ActionBase):
    """Run one drill from the control node."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the drill; it takes a minute or two."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "a drill can't be tried without being made"}
        arguments = self._task.args
        nodes = Nodes(freeze=arguments.get("node_freeze_command") or [], thaw=arguments.get("node_thaw_command") or [])
        try:
            cluster = DrillCluster(
                client_of(arguments),
                arguments["database_namespace"],
                arguments["app_namespace"],
                arguments["selector"],
            )
            fault = FAULTS[arguments["drill"]]()
            record = run_trial(cluster, nodes, fault, arguments["writer"], self._display.display)
        except DrillError as error:
            record = {"fault": arguments["drill"], "problem": str(error)}
        return {**result, "changed": True, "record": record}
