"""Lose database and application with their volumes, and live again from the bucket and the private key.

While traders trade over the ingress a backup is made; they go on for a while. Then both namespaces are deleted with
their volumes, and what docs/backups.md says of such a night is typed: site.yml, restore.yml, site.yml. What was
acknowledged before the backup began must be there, the books must balance, and the application must have the Secrets
that it had. CLUSTER names the cluster (test), which is made if need be. Results: build/prove/disaster.json.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "tests" / "bench"), str(Path(__file__).parent)]

from cluster import kind
from cluster.kind import kubectl
from cluster.shell import Failure, fail, say, step
from exchange_load import load, verified
from with_backups import CLUSTER, playbook, ready

RESULTS = PROJECT / "build" / "prove" / "disaster.json"
RATE, BEFORE_SECONDS, AFTER_SECONDS = 10, 15, 10


def secrets_digest() -> str:
    """Return a digest of the application's Secrets."""
    found = json.loads(kubectl(CLUSTER, "-n", "exchange", "get", "secret", "exchange-secrets", "-o", "json"))["data"]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def acknowledged_before(record: str, moment: datetime) -> str:
    """Return a record as if the load had been killed at a moment: answers that came later are unknown to it."""
    events = [json.loads(line) for line in record.splitlines()]
    kept = [one for one in events if one["event"] != "answered" or datetime.fromisoformat(one["at"]) < moment]
    return "".join(json.dumps(one) + "\n" for one in kept)


def main() -> int:
    """Do it, and print what was seen."""
    ready()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with load(CLUSTER, RESULTS.parent, RATE) as record:
        time.sleep(BEFORE_SECONDS)
        said = playbook("playbooks/backup.yml", backup_now=["backup"])
        time.sleep(AFTER_SECONDS)
    made = re.search(r"backup (([0-9]{8}T[0-9]{6})Z-[0-9a-f]+): [0-9]+ bytes", said)
    if not made:
        raise Failure(f"no backup was made: {said[-1500:]}")
    # An identifier begins with the second in which the job began, before its snapshot.
    moment = datetime.strptime(made[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    text = record.read_text()
    before = secrets_digest()
    with step("Delete both namespaces with their volumes"):
        kubectl(CLUSTER, "delete", "namespace", "exchange-database", "exchange", "--wait=true", "--timeout=300s")
        kind.recycle_volumes(CLUSTER)
    begun = time.monotonic()
    with step("site.yml on what is left", 120):
        playbook("site.yml")
    made_anew = secrets_digest()
    with step("restore.yml", 60):
        playbook("playbooks/restore.yml", restore_backup=made[1], restore_swap="exchange", restore_secrets=True)
    with step("site.yml once more", 60):
        playbook("site.yml")
    took = time.monotonic() - begun
    verdict, books = verified(CLUSTER, acknowledged_before(text, moment))
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "backup": made[1],
        "seconds_from_nothing": round(took, 1),
        "orders_acknowledged_in_all": text.count('"status": 201'),
        "verdict": json.loads(verdict),
        "books": books.strip(),
        "secrets_are_the_old_ones": before == secrets_digest() != made_anew,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    say(json.dumps(result, indent=1))
    return 0 if result["secrets_are_the_old_ones"] else fail("the application's Secrets are not the backup's")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
