"""Filters of roles/objects. Each is documented in plugin_utils/objects.py or readiness.py under its name there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import objects, readiness


class FilterModule:
    """Make the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "applied_list": objects.applied_list,
            "applied_objects": objects.applied_objects,
            "is_ready": readiness.is_ready,
            "leftovers": objects.leftovers,
            "not_ready": readiness.not_ready,
            "object_changes": objects.changes,
            "objects_of_namespaces": objects.of_namespaces,
            "pod_problems": readiness.pod_problems,
            "prepare_objects": objects.prepare,
            "prunable_objects": objects.prunable,
            "secret_changes": objects.secret_changes,
            "secrets_to_apply": objects.secrets_to_apply,
            "unready_containers": readiness.unready_containers,
            "with_secrets": objects.with_secrets,
        }
