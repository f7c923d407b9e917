"""Point-in-time recovery: pgBackRest's configuration, and which base backup a moment is reached from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

CA_FILE = "/etc/pgbackrest/ca.crt"
HTTPS_PORT = 443
# Instead of a moment: the last commit that the archive has.
LATEST = "latest"
# The containers' only writable folder, which nobody shares.
WORK = "/tmp/pgbackrest"  # noqa: S108


def configuration(target: Mapping[str, Any], passphrase: str, full_backups: int) -> str:
    """Return pgbackrest.conf: where the archive is, how to get in, and what all its commands share.

    Args:
        target: postgres_archive_target.
        passphrase: what everything is encrypted with.
        full_backups: how many full base backups are kept.
    """
    address = urlsplit(target.get("endpoint") or f"https://s3.{target['region']}.amazonaws.com")
    options = {
        "repo1-type": "s3",
        "repo1-path": f"/{target.get('prefix') or ''}",
        "repo1-s3-bucket": target["bucket"],
        "repo1-s3-endpoint": address.hostname,
        "repo1-storage-port": address.port or HTTPS_PORT,
        "repo1-s3-region": target["region"],
        "repo1-s3-uri-style": "path" if target.get("path_style") else "host",
        "repo1-s3-key": target["access_key"],
        "repo1-s3-key-secret": target["secret_key"],
        **({"repo1-storage-ca-file": CA_FILE} if target.get("ca") else {}),
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-cipher-pass": passphrase,
        "repo1-retention-full": full_backups,
        # Small files share an object, and of large ones only what has changed is stored again.
        "repo1-bundle": "y",
        "repo1-block": "y",
        "compress-type": "zst",
        # WAL files are sent two at a time, before the server asks: one by one would limit how fast it can write.
        "archive-async": "y",
        "process-max": 2,
        "spool-path": WORK,
        "lock-path": WORK,
        "start-fast": "y",
        "log-level-console": "warn",
        "log-level-file": "off",
    }
    return "[global]\n" + "".join(f"{name}={value}\n" for name, value in options.items())


def moment(text: str) -> datetime:
    """Return the time that a text means.

    Raises:
        ValueError: it isn't a time, or says nothing of its time zone.
    """
    found = datetime.fromisoformat(text.strip())
    if found.tzinfo is None:
        raise ValueError(f"{text}: no time zone")
    return found.astimezone(UTC)


def postgres_time(at: datetime) -> str:
    """Return a time as PostgreSQL and pgBackRest read it."""
    fraction = f".{at.microsecond:06d}" if at.microsecond else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction}+00"


def moment_in_a_name(text: str) -> str:
    """Return a moment, or `latest`, as it may stand in a database's name."""
    return LATEST if text == LATEST else f"{moment(text):%Y%m%dt%H%M%Sz}"


@dataclass(frozen=True)
class Stanza:
    """What the archive has of one cluster: when its base backups ended, in seconds since 1970."""

    name: str
    ends: tuple[float, ...]

    def reaches(self, at: datetime) -> bool:
        """Say whether a base backup ended before a moment, which pgBackRest asks for."""
        return any(end < at.timestamp() for end in self.ends)

    def told(self) -> str:
        """Return a line for a person."""
        if not self.ends:
            return f"{self.name}: no base backup"
        since = datetime.fromtimestamp(min(self.ends), UTC)
        return f"{self.name}: since {since:%Y-%m-%d %H:%M:%S}+00"


def choice(info: Sequence[Mapping[str, Any]], to: str, own: str, named: str) -> dict[str, str]:
    """Return which stanza a moment is reached from.

    Args:
        info: what `pgbackrest info --output=json` says of all stanzas.
        to: the moment, or `latest`: of another cluster, if there is one, since the live one has its own latest itself.
        own: the live cluster's identifier, which is the name of its stanza.
        named: a stanza that somebody chose, or nothing.

    Returns:
        ``stanza``, ``target`` (the moment as pgBackRest takes it, or nothing), and ``problem`` if there is no stanza to
        take, or more than one.
    """
    latest = to == LATEST
    at = datetime.now(UTC) if latest else moment(to)
    stanzas = [
        Stanza(
            one["name"], tuple(item["timestamp"]["stop"] for item in one.get("backup") or [] if not item.get("error"))
        )
        for one in info
    ]
    reaching = [one.name for one in stanzas if one.reaches(at)]
    preferred = [name for name in reaching if (name == own) is not latest] or reaching
    known = "; ".join(one.told() for one in stanzas) or "nothing"
    chosen, problem = "", ""
    if named and named not in reaching:
        problem = f"restore_archive is {named!r}: expected a cluster with a base backup before {to}; there is {known}"
    elif named or len(preferred) == 1:
        chosen = named or preferred[0]
    elif preferred:
        problem = f"several clusters have a base backup before {to}, say which with restore_archive: {known}"
    else:
        problem = f"restore_to is {to!r}: expected a moment after a base backup ended; there is {known}"
    return {"stanza": chosen, "target": "" if latest else postgres_time(at), "problem": problem}


def first_pod_outcome(pods: Sequence[Mapping[str, Any]]) -> str:
    """Return ``ready`` or ``failed`` of the first of some pods, or nothing while it is neither.

    It has failed as soon as one of its containers has: what it does comes to the same end a second time.
    """
    status = (pods[0].get("status") or {}) if pods else {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    exits = [
        (one.get(state) or {}).get("terminated", {}).get("exitCode", 0)
        for one in containers
        for state in ("state", "lastState")
    ]
    if any(exits):
        return "failed"
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or []}
    return "ready" if conditions.get("Ready") == "True" else ""
