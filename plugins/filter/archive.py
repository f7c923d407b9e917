"""Filters of point-in-time recovery. Each is documented in plugin_utils/archive.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import archive
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain


def archive_configuration(target: Mapping[str, Any], passphrase: str, full_backups: int) -> str:
    """Return pgbackrest.conf."""
    return archive.configuration(plain(target), str(passphrase), int(full_backups))


def archive_choice(info: Sequence[Mapping[str, Any]], to: str, own: str, named: str = "") -> dict[str, str]:
    """Return which stanza a moment is reached from."""
    try:
        return archive.choice(plain(info), str(to), str(own), str(named))
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(
            f"archive_choice: {error!r}: expected what pgbackrest info says, and a time"
        ) from error


def first_pod_outcome(pods: Sequence[Mapping[str, Any]]) -> str:
    """Return ready, failed, or nothing yet."""
    return archive.first_pod_outcome(plain(pods))


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "archive_configuration": archive_configuration,
            "archive_choice": archive_choice,
            "first_pod_outcome": first_pod_outcome,
            "moment_in_a_name": archive.moment_in_a_name,
        }
