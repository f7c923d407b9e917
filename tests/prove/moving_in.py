"""Move a PostgreSQL outside the cluster in while traders trade on it, and find everything they were told again.

The exchange runs on this machine, with a database of its own and load over HTTP. playbooks/migrate.yml rehearses, cuts
over, and says for how long nobody could write; then the load's record is held against the platform's database. With the
argument `replicate` it does so by replication, and abandons one first. Files and a dump of the same source move in too.
CLUSTER names the cluster (test), which is made if need be. Results: build/prove/moving_in-{copy,replicate}.json.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(PROJECT / "tests"),
    str(PROJECT / "tests" / "bench"),
    str(Path(__file__).parent),
    str(PROJECT / "app"),
]

from cluster import kind
from cluster.kind import kubectl
from cluster.shell import Failure, fail, run, say
from exchange_load import verified
from testing.processes import Gunicorn, environment, manage
from testing.server import Server, newest_bin
from with_backups import CLUSTER, playbook, ready

RESULTS = PROJECT / "build" / "prove"
CLAIM = "moving-in-media"
RATE, BEFORE_SECONDS, AFTER_SECONDS = 10, 10, 5


def gateway() -> str:
    """Return this machine's address on the network of the cluster's nodes."""
    networks = json.loads(run(["docker", "network", "inspect", "kind"]))[0]["IPAM"]["Config"]
    return str(next(one["Gateway"] for one in networks if "." in one.get("Gateway", "")))


@contextmanager
def outside(address: str) -> Iterator[Server]:
    """Run a PostgreSQL on this machine that the cluster's nodes reach, and nobody else."""
    server = Server({"max_connections": "60", "wal_level": "logical", "listen_addresses": f"127.0.0.1,{address}"})
    try:
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text(rules.read_text() + f"host all tests {address}/16 scram-sha-256\n")
        server.stop()
        server.start()
        yield server
    finally:
        server.remove()


@contextmanager
def load(base_url: str, variables: dict[str, str], folder: Path) -> Iterator[Path]:
    """Let traders trade while the block runs; yields the file of their record."""
    record = folder / "record.jsonl"
    command = [sys.executable, "manage.py", "trade_load", "run", "--base-url", base_url, "--record", str(record)]
    command += ["--rate", str(RATE), "--seconds", "3600", "--give-up-after", "2"]
    with (folder / "log").open("wb") as log, subprocess.Popen(
        command, cwd=PROJECT / "app", env=variables, stdout=log, stderr=log, start_new_session=True
    ) as process:  # fmt: skip
        try:
            time.sleep(BEFORE_SECONDS)
            if process.poll() is not None:
                raise Failure(f"the load ended by itself: {(folder / 'log').read_text()[-600:]}")
            yield record
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)


def migrate(server: Server, address: str, **others: Any) -> str:
    """Run the playbook; return what it printed."""
    source = {
        "migrate_host": address,
        "migrate_port": server.port,
        "migrate_database": "postgres",
        "migrate_username": "tests",
        "migrate_password": "tests",
        "migrate_sslmode": "disable",
        "migrate_from": [{"cidr": f"{address}/32"}],
    }
    return playbook("playbooks/migrate.yml", **source, **others)


def left_at(server: Server) -> str:
    """Return the slots and publications that a source has."""
    query = "SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication"
    argv = [newest_bin() / "psql", "--host=127.0.0.1", f"--port={server.port}", "--username=tests", "-Atc", query]
    return run([*argv, "postgres"], env={"PGPASSWORD": "tests"}).strip()


def moved(mode: str, server: Server, address: str) -> dict[str, Any]:
    """Rehearse and cut over; return what was seen."""
    how = {"migrate_replicate": True} if mode == "replicate" else {}
    begun = time.monotonic()
    migrate(server, address, migrate_into="exchange_rehearsed", **how)
    seen: dict[str, Any] = {"rehearsal_seconds": round(time.monotonic() - begun, 1)}
    if how:
        slot = left_at(server)
        migrate(server, address, migrate_abandon=True)
        seen["abandoned"] = slot.splitlines()
        if not slot or left_at(server):
            raise Failure(f"replicated with {slot or 'nothing'}, and abandoned with {left_at(server)} left")
    said = migrate(server, address, migrate_cut_over="exchange", **how)
    if left_at(server):
        raise Failure(f"after cutting over there is {left_at(server)} at the source")
    down = re.search(r"nobody could write for\s+([0-9.]+) s", " ".join(said.split()))
    if not down:
        raise Failure(f"the playbook did not say for how long nobody could write: {said[-1500:]}")
    return seen | {"nobody_could_write_seconds": float(down[1])}


def dumped(server: Server, folder: Path) -> str:
    """Move a dump of the source in beside the live database; return what the playbook said of it."""
    file = folder / "shop.dump"
    argv = [newest_bin() / "pg_dump", "--host=127.0.0.1", f"--port={server.port}", "--username=tests", "-Fc"]
    run([*argv, f"--file={file}", "postgres"], env={"PGPASSWORD": "tests"})
    said = playbook("playbooks/migrate.yml", migrate_dump=str(file), migrate_into="exchange_from_a_dump")
    return found("exchange_from_a_dump is filled, .*migrations", said)


def files(folder: Path) -> list[str]:
    """Move files into a claim, twice; return what the playbook said of each."""
    for number in range(2000):
        file = folder / "media" / f"{number % 20}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(number.to_bytes(4, "big") * (1 + number))
    with (folder / "media" / "large").open("wb") as large:
        for _ in range(200):
            large.write(bytes(range(256)) * 4096)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": "exchange"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    kind.apply(CLUSTER, [claim])
    media = {"type": "pvc", "path": "/app/media", "claim": CLAIM, "size": "1Gi", "access_mode": "ReadWriteMany"}
    asked = {"migrate_media": str(folder / "media"), "exchange_app_media": media}
    words = r"[0-9]+ files with [0-9]+ bytes .* of them were copied now"
    try:
        said = [found(words, playbook("playbooks/migrate.yml", **asked)) for _ in range(2)]
        (folder / "media" / "0" / "0.jpg").write_bytes(b"another")
        try:
            playbook("playbooks/migrate.yml", **asked)
        except Failure as failure:
            return [*said, found(r"0/0\.jpg: there already, and not what", str(failure))]
        raise Failure("a file that differs was copied, or passed over")
    finally:
        kubectl(CLUSTER, "-n", "exchange", "delete", "pvc", CLAIM, "--wait=true", "--timeout=120s")
        kind.recycle_volumes(CLUSTER)


def found(words: str, said: str) -> str:
    """Return what a playbook said, or what is left of it."""
    match = re.search(words, " ".join(said.split()))
    if not match:
        raise Failure(f"it did not say {words}: {said[-1500:]}")
    return match[0]


def main() -> int:
    """Do it, and print what was seen."""
    mode = sys.argv[1] if len(sys.argv) > 1 else "copy"
    if mode not in {"copy", "replicate"}:
        return fail(f"{mode}: expected copy or replicate")
    ready()
    address = gateway()
    with outside(address) as server, tempfile.TemporaryDirectory() as name:
        variables = environment(server.environment()) | {"LOG_LEVEL": "WARNING", "RETRY_AFTER_SECONDS": "1"}
        done = manage(variables, "migrate")
        if done.returncode:
            raise Failure(f"manage.py migrate: {done.stderr[-600:]}")
        with Gunicorn(variables | {"WEB_CONCURRENCY": "2"}) as web:
            with load(f"http://127.0.0.1:{web.port}", variables, Path(name)) as record:
                seen = moved(mode, server, address)
                time.sleep(AFTER_SECONDS)
            text = record.read_text()
        verdict, books = verified(CLUSTER, text)
        result = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "mode": mode,
            **seen,
            "verdict": json.loads(verdict),
            "books": books.strip(),
            "dump": dumped(server, Path(name)),
            "files": files(Path(name)),
        }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"moving_in-{mode}.json").write_text(json.dumps(result, indent=1) + "\n")
    say(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
