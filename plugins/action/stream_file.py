"""Action stream_file: run a command in a pod with a file of the control node as its standard input.

Arguments: file, namespace, pod, container, command (a list; reads just as many bytes as the file has, which is said by
{bytes} in it), and the connection as kubernetes.core names it. Returns printed, and ended in seconds since 1970.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.connection import client_of
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.media import content_of
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.pods import Pod, PodError


class ActionModule(ActionBase):
    """Stream a file from the control node."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Stream it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "it would be read by a pod that isn't made"}
        file, pod = Path(given["file"]), Pod(client_of(given), given["namespace"], given["pod"], given["container"])
        try:
            command = [part.replace("{bytes}", str(file.stat().st_size)) for part in given["command"]]
            printed = pod.run(command, content_of(file), lambda line: self._display.display(f"    {line}"))
        except (PodError, OSError) as error:
            return {**result, "failed": True, "changed": True, "msg": f"{file}: {error}"}
        return {**result, "changed": True, "printed": printed, "ended": time.time()}
