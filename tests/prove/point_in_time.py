"""Bring the exchange back to a moment between two orders, and then lose all of it and see what the archive still has.

Traders trade over the ingress, with every WAL file going to a bucket. First `restore_to` a moment in the middle: each
order that was acknowledged before must be there, and none that was placed after. Then, under load again, the archive
takes nothing any more from one moment on, as if everything had lost its power then; the namespaces are deleted with
their volumes, and what docs/backups.md says of such a night is typed: site.yml, `restore_to=latest` with the Secrets of
an earlier backup, site.yml. How much older the data is than the moment is what was lost, to be held against
postgres_archive_timeout_seconds. CLUSTER names the cluster (test), which is
made if need be. Results: build/prove/point_in_time.json.
"""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "bench"), str(Path(__file__).parent)]

import yaml
from cluster import kind, s3
from cluster.kind import kubectl
from cluster.shell import Failure, fail, say, step
from disaster import acknowledged_before, secrets_digest
from exchange_load import load, verified
from with_backups import CLUSTER, playbook, ready

RESULTS = PROJECT / "build" / "prove" / "point_in_time.json"
RATE, SECONDS = 10, 20
# Longer than postgres_archive_timeout_seconds, so that something has been archived under load.
LONG_SECONDS = 100
ON = {"postgres_archive_target": "{{ kind_archive_target }}"}
DATABASE = "exchange-database"


def acknowledged(record: str) -> list[datetime]:
    """Return when each order was acknowledged."""
    events = [json.loads(line) for line in record.splitlines()]
    return [
        datetime.fromisoformat(one["at"])
        for one in events
        if one["event"] == "answered" and one["kind"] == "order" and one["status"] == 201
    ]


def begun_after(record: str, moment: datetime) -> set[str]:
    """Return the keys of what was tried for the first time after a moment."""
    events = [json.loads(line) for line in record.splitlines()]
    return {
        one["key"]
        for one in events
        if one["event"] == "try" and one["number"] == 1 and datetime.fromisoformat(one["at"]) > moment
    }


def keys_there() -> set[str]:
    """Return the keys of all orders of the live database."""
    name = kubectl(CLUSTER, "-n", DATABASE, "get", "pods", "-l", "role=primary", "-o", "name").split()[0]
    command = ["psql", "-XAtq", "-U", "postgres", "-d", "exchange", "-c", "SELECT idempotency_key FROM markets_order"]
    return set(kubectl(CLUSTER, "-n", DATABASE, "exec", name, "-c", "postgres", "--", *command).splitlines())


def reached(said: str) -> datetime:
    """Return the time of the last commit that a restore found."""
    # Ansible breaks long lines.
    found = re.search(r"its last commit is of ([0-9-]+ [0-9:.]+)\+00", " ".join(said.split()))
    if not found:
        raise Failure(f"the restore doesn't say how far it got: {said[-1500:]}")
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)


def between_two_orders(folder: Path) -> dict[str, Any]:
    """Trade, go back to a moment in the middle, and compare."""
    with load(CLUSTER, folder, RATE) as file:
        time.sleep(SECONDS)
        moment = datetime.now(UTC)
        time.sleep(SECONDS)
    record = file.read_text()
    orders = acknowledged(record)
    after = begun_after(record, moment)
    if not after & keys_there():
        raise Failure("no order was placed after the moment, so there is nothing to be absent")
    begun = time.monotonic()
    with step(f"restore.yml to {moment.isoformat()}", 120):
        said = playbook("playbooks/restore.yml", restore_to=moment.isoformat(), restore_swap="exchange", **ON)
    took = time.monotonic() - begun
    wrong = after & keys_there()
    if wrong:
        raise Failure(f"{len(wrong)} orders are there that were placed after {moment}")
    verdict, books = verified(CLUSTER, acknowledged_before(record, moment))
    return {
        "moment": moment.isoformat(),
        "last_commit": reached(said).isoformat(),
        "last_order_before": max(at for at in orders if at < moment).isoformat(),
        "orders_acknowledged_before": sum(at < moment for at in orders),
        "orders_begun_after_and_absent": len(after),
        "seconds": round(took, 1),
        "verdict": json.loads(verdict),
        "books": books.strip(),
    }


def close_archive() -> datetime:
    """Take the right to the bucket from who archives, and return the moment from which nothing came any more."""
    values = yaml.safe_load((kind.inventory(CLUSTER) / "s3.yml").read_text())
    users = values["postgres_backup_targets"][0]["credentials"]
    with s3.forwarded(CLUSTER) as endpoint:
        rights = {user["access_key"]: s3.RIGHTS[name] for name, user in users.items()}
        s3.furnish(endpoint, s3.root_credentials(CLUSTER), rights)
    return datetime.now(UTC)


def everything_lost(folder: Path, timeout_seconds: int) -> dict[str, Any]:
    """Trade, lose everything at a moment, and live again from the archive, and from a backup for the Secrets."""
    playbook("playbooks/backup.yml", backup_now=["backup"], **ON)
    with load(CLUSTER, folder, RATE) as file:
        time.sleep(LONG_SECONDS)
        lost_at = close_archive()
    record = file.read_text()
    before = secrets_digest()
    with step("Delete both namespaces with their volumes"):
        kubectl(CLUSTER, "delete", "namespace", DATABASE, "exchange", "--wait=true", "--timeout=600s")
        kind.recycle_volumes(CLUSTER)
    s3.start(CLUSTER)
    begun = time.monotonic()
    with step("site.yml on what is left", 240):
        playbook("site.yml", **ON)
    made_anew = secrets_digest()
    with step("restore.yml to what the archive has", 120):
        said = playbook(
            "playbooks/restore.yml", restore_to="latest", restore_swap="exchange", restore_secrets=True, **ON
        )
    with step("site.yml once more", 60):
        playbook("site.yml", **ON)
    took = time.monotonic() - begun
    last = reached(said)
    verdict, books = verified(CLUSTER, acknowledged_before(record, last))
    orders = [at for at in acknowledged(record) if at <= lost_at]
    return {
        "lost_at": lost_at.isoformat(),
        "last_commit": last.isoformat(),
        "seconds_lost": round((lost_at - last).total_seconds(), 1),
        "archive_timeout_seconds": timeout_seconds,
        "orders_acknowledged": len(orders),
        "orders_acknowledged_and_lost": sum(at > last for at in orders),
        "seconds_from_nothing": round(took, 1),
        "secrets_are_the_old_ones": before == secrets_digest() != made_anew,
        "verdict": json.loads(verdict),
        "books": books.strip(),
    }


def main() -> int:
    """Do both, and print what was seen."""
    ready(**ON)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    defaults = yaml.safe_load((PROJECT / "roles" / "postgres" / "defaults" / "main.yml").read_text())
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "between_two_orders": between_two_orders(RESULTS.parent),
        "everything_lost": everything_lost(RESULTS.parent, defaults["postgres_archive_timeout_seconds"]),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    say(json.dumps(result, indent=1))
    if not result["everything_lost"]["secrets_are_the_old_ones"]:
        return fail("the application's Secrets are not the backup's")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
