"""The configuration that a backup's jobs read, of one target and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Of a target, what the jobs aren't told by its configuration: the CA, which is a file, and credentials.
_OTHERWISE = frozenset({"ca", "credentials"})
CA_FILE = "/etc/backup/ca.crt"


def configuration(target: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what images/backup calls its configuration (exchange_backup/config.py)."""
    told = {name: value for name, value in target.items() if name not in _OTHERWISE}
    if target.get("ca"):
        told["ca_file"] = CA_FILE
    return {**settings, "target": told}


def returned_secrets(
    folder: Mapping[str, str], names: Sequence[str], present: Mapping[str, Mapping[str, str]], time: str
) -> list[dict[str, Any]]:
    """Return the Secrets to write so that those of a backup are there again.

    Args:
        folder: text by file name, NAMESPACE.NAME.KEY, as roles/postgres_backup stores Secrets.
        names: the Secrets that files belong to, as NAMESPACE/NAME.
        present: content of the Secrets that are there, by NAMESPACE/NAME.
        time: the time, as it may stand in a name; in lower case.

    Returns:
        Manifests: for each Secret that differs what is there, under another name, and then what the backup holds.
    """
    written: list[dict[str, Any]] = []
    for name in names:
        prefix = name.replace("/", ".") + "."
        stored = {file.removeprefix(prefix): text for file, text in folder.items() if file.startswith(prefix)}
        there = dict(present.get(name) or {})
        if all(there.get(key) == text for key, text in stored.items()):
            continue
        if there:
            written.append(_secret(f"{name}-before-{time}", there))
        written.append(_secret(name, stored))
    return written


def _secret(name: str, content: Mapping[str, str]) -> dict[str, Any]:
    """Return a Secret."""
    namespace, _, own = name.partition("/")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": own, "namespace": namespace},
        "stringData": dict(content),
    }
