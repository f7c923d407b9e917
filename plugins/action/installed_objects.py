"""Action installed_objects: everything on the cluster that may be ours, of whatever kind.

Arguments: label_selector (the labels of everything of ours), namespaces (ours by the inventory), and the connection as
kubernetes.core names it. Returns objects, as plugin_utils/installed.py summarises them (nothing of what Secrets hold),
and unseen, what the API didn't let us look at. Changes nothing.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import installed
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.connection import dynamic_client_of


class ActionModule(ActionBase):
    """Look at the cluster from the control node."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        api = installed.Api(dynamic_client_of(given))
        found = installed.look(api, str(given["label_selector"]), [str(name) for name in given["namespaces"]])
        return {**result, "changed": False, **found}
