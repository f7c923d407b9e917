"""Action media: copy a folder of the control node into a pod's, without writing over anything.

Arguments: folder (here), into (there), namespace, pod, container, and the connection as kubernetes.core names it. Files
that are there and differ stop it before anything is changed. Returns files and bytes (all of them, compared by their
digests) and copied (how many of the files weren't there).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import media
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.connection import client_of
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.pods import Pod, PodError


class ActionModule(ActionBase):
    """Copy a folder from the control node."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare, copy what is missing, compare again."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "no pod is made to look at the volume"}
        pod = Pod(client_of(given), given["namespace"], given["pod"], given["container"])
        say = self._display.display
        try:
            return {**result, **media.copy(Path(given["folder"]), pod, given["into"], lambda line: say(f"    {line}"))}
        except (media.MediaError, PodError) as error:
            return {**result, "failed": True, "msg": str(error)}
