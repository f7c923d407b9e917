"""The configuration that a backup's jobs read, of one target and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of a target, what the jobs aren't told by its configuration: names of objects, the CA as a file, credentials.
_OTHERWISE = frozenset({"name", "ca", "credentials"})
CA_FILE = "/etc/backup/ca.crt"


def configuration(target: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what images/backup calls its configuration (exchange_backup/config.py)."""
    told = {name: value for name, value in target.items() if name not in _OTHERWISE}
    if target.get("ca"):
        told["ca_file"] = CA_FILE
    return {**settings, "target": told}
