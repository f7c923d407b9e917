"""Filters of the drill `isolation`, documented in plugin_utils/isolation.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import isolation
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import Matrix


def matrix_of(data: Mapping[str, Any]) -> Matrix:
    """Return the matrix that a playbook describes with `traffic`, `ends` and `closed`."""
    known = plain(data)
    return Matrix(known["traffic"], known["ends"], known["closed"])


def isolation_plan(
    pods: Sequence[Mapping[str, Any]], matrix: Mapping[str, Any], namespace: str, present: Sequence[str]
) -> dict[str, Any]:
    """Return who tries what."""
    try:
        return isolation.plan(plain(pods), matrix_of(matrix), str(namespace), plain(present))
    except (KeyError, ValueError) as error:
        raise AnsibleFilterError(f"isolation_plan: {error}") from error


def isolation_report(
    plan: Mapping[str, Any],
    matrix: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    doors: str,
    required: bool,  # noqa: FBT001  # a filter's arguments are positional
) -> dict[str, Any]:
    """Return what was shown, from a loop of kubernetes.core.k8s_exec over the plan's sources."""
    found = {str(result["item"]["title"]): str(result.get("stdout") or "") for result in results}
    return isolation.report(plain(plan), matrix_of(matrix), found, str(doors), required=bool(required))


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "isolation_plan": isolation_plan,
            "isolation_manifests": isolation.manifests,
            "isolation_door_command": isolation.door_command,
            "isolation_probe_command": isolation.probe_command,
            "isolation_report": isolation_report,
        }
