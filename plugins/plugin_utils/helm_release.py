"""What Helm's release Secrets tell about a release, without calling Helm. Pure.

A Secret `sh.helm.release.v1.<name>.v<revision>` holds one revision: labels `status` and `version`, and in `release` the
JSON of it, compressed with gzip and written in Base64 (Helm's storage driver `secrets`, version 1, of Helm 3 and 4).
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import plain

Secret = Mapping[str, Any]

# A killed play may leave Helm itself running for a while: what is younger than this may end by itself.
SETTLE_SECONDS = 30


def decode(secret: Secret) -> dict[str, Any]:
    """Return the revision that a release Secret holds."""
    content = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    revision: dict[str, Any] = json.loads(text)
    return revision


def encode(revision: Mapping[str, Any]) -> str:
    """Return what decode() reads, as the text of the Secret's key `release`."""
    packed = gzip.compress(json.dumps(revision).encode(), mtime=0)
    return base64.b64encode(base64.b64encode(packed)).decode()


def number(secret: Secret) -> int:
    """Return the revision's number."""
    return int(secret["metadata"]["labels"]["version"])


def status(secret: Secret) -> str:
    """Return the revision's status: deployed, failed, superseded, pending-upgrade, ..."""
    return str(secret["metadata"]["labels"]["status"])


def image_only(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether two sets of values differ in the image and perhaps in the chart, as after continuous delivery."""

    def others(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key not in {"image", "bookkeeping"}}

    return others(one) == others(other) and one.get("image") != other.get("image")


def state(secrets: Sequence[Secret], now: str, timeout_seconds: int) -> dict[str, Any]:
    """Return how a release stands.

    A revision is `pending` while Helm works on it, and for ever if Helm was killed. One that differs from the running
    release in nothing but the image may be continuous delivery at work: it is left alone until it is older than any
    operation may take. Any other one is of a run of ours that was killed, and is left alone for SETTLE_SECONDS only.

    Args:
        secrets: the release's Secrets, as the API returns them.
        now: the time in UTC, in ISO 8601.
        timeout_seconds: how long an operation may take.

    Returns:
        status: of the newest revision, or `none`; revision: its number (0: none); config: its values;
        pending: names of the Secrets of operations that have not ended; at_work: it may still end by itself;
        running: values of the deployed revision, {} if there is none.
    """
    ordered = sorted((plain(secret) for secret in secrets), key=number)
    if not ordered or status(ordered[-1]) == "uninstalled":
        return {"status": "none", "revision": 0, "config": {}, "pending": [], "at_work": False, "running": {}}
    newest = ordered[-1]
    deployed = [secret for secret in ordered if status(secret) == "deployed"]
    values = decode(newest).get("config") or {}
    running = (decode(deployed[-1]).get("config") or {}) if deployed else {}
    pending = [secret for secret in ordered if status(secret).startswith("pending") or status(secret) == "uninstalling"]
    begun = datetime.fromisoformat(newest["metadata"]["creationTimestamp"])
    age = (datetime.fromisoformat(now).replace(tzinfo=UTC) - begun).total_seconds()
    patience = timeout_seconds if deployed and image_only(values, running) else min(SETTLE_SECONDS, timeout_seconds)
    return {
        "status": status(newest),
        "revision": number(newest),
        "config": values,
        "pending": [secret["metadata"]["name"] for secret in pending],
        "at_work": newest in pending and age < patience,
        "running": running,
    }


def value_changes(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Return a line per value that differs: path: old -> new. Values of environment variables are not shown."""
    lines: list[str] = []
    for key in sorted({*old, *new}, key=str):
        here = f"{path}.{key}" if path else str(key)
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += value_changes(before, after, here)
        elif re.search(r"(^|\.)env(\.|$)", here) or isinstance(before or after, (Mapping, list)):
            lines.append(f"{here}: {'added' if before is None else 'removed' if after is None else 'changed'}")
        else:
            lines.append(f"{here}: {before} -> {after}")
    return lines


def without_replicas(secrets: Sequence[Secret], deployment: str) -> list[dict[str, Any]]:
    """Return the deployed revision's Secret with `replicas` taken out of a Deployment's manifest; nothing if it's out.

    Helm 3 compares the last manifest with the new one: a field that is in the former alone is set to null, and the
    Deployment drops to one pod before an autoscaler has looked once. A field that is in neither stays as it is.
    """
    deployed = [plain(secret) for secret in sorted(secrets, key=number) if status(secret) == "deployed"]
    if not deployed:
        return []
    revision = decode(deployed[-1])
    documents = re.split(r"(?m)^---$", revision["manifest"])
    wanted = re.compile(rf"^kind: Deployment\n(.*\n)*?  name: {re.escape(deployment)}$", re.MULTILINE)
    replicas = re.compile(r"^  replicas: \d+\n", re.MULTILINE)
    changed = [replicas.sub("", document) if wanted.search(document) else document for document in documents]
    if changed == documents:
        return []
    metadata = deployed[-1]["metadata"]
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "data": {"release": encode({**revision, "manifest": "---".join(changed)})},
        }
    ]
