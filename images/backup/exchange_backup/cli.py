"""The command line: backups and restores, of databases and uploads; copying, or replicating, other servers; figures."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import psycopg

from exchange_backup import __version__, catalog, crypt, media, move, prune, replicate, report, restore, swap, verify
from exchange_backup.backup import Job
from exchange_backup.bucket import Bucket
from exchange_backup.config import Config, load
from exchange_backup.drill import drill, drill_media
from exchange_backup.errors import BackupError, Stopped
from exchange_backup.exporter import serve
from exchange_backup.load import load as fill
from exchange_backup.manifest import DATABASE, MEDIA, SERIES, Manifest
from exchange_backup.report import Report
from exchange_backup.source import leading_to, one_line

LOG: Final = logging.getLogger("exchange_backup")
CONFIG: Final = Path("/etc/backup/config.json")
EXPORTER_PORT: Final = 9190


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code: 0 if it did what it should, 1 if not."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _stop)
    try:
        config = load(options.config)
        run: Callable[[argparse.Namespace, Config, Bucket], int] = options.run
        return run(options, config, Bucket(config.target))
    except (BackupError, psycopg.Error) as error:
        LOG.error("%s", one_line(error))  # noqa: TRY400  # a person reads it, not a stack
        return 1
    except KeyboardInterrupt:
        LOG.error("interrupted")  # noqa: TRY400
        return 1


def parser() -> argparse.ArgumentParser:
    """Return what the command line understands."""
    top = argparse.ArgumentParser(prog="exchange-backup", description=__doc__)
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument("--config", type=Path, default=CONFIG, help=f"the JSON configuration (default: {CONFIG})")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run, series=DATABASE)
        return made

    command("backup", run_backup, "make a backup of the database, and of `folders` beside it")
    command("media", run_media, "make a backup of `media`, a series of its own")
    listed = command("list", run_list, "say which backups there are, and whether each is good")
    listed.add_argument("--json", action="store_true", help="print manifests as JSON")
    checked = command("verify", run_verify, "read every object of a backup and compare it with the manifest")
    pruned = command("prune", run_prune, "remove what retention doesn't keep and what never finished")
    pruned.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    restored = command("restore", run_restore, "restore into a new database and check it")
    unpacked = command("folder", run_folder, "unpack a folder that is stored beside the database")
    unpacked.add_argument("name", help="as in `folders` of the configuration, such as secrets or media")
    returned = command(
        "restore-media", run_restore_media, "bring back what the folders `media` lack; what is there stays as it is"
    )
    returned.set_defaults(series=MEDIA)
    drilled = command("drill", run_drill, "restore into a throw-away PostgreSQL and check it")
    for one in (checked, unpacked, drilled):
        one.add_argument("--media", dest="series", action="store_const", const=MEDIA, help="a backup of media")
    for one in (checked, restored, returned, unpacked, drilled):
        one.add_argument("--backup", default="latest", metavar="ID", help="default: latest")
        one.add_argument("--before", type=moment, metavar="TIME", help="the latest before this time (ISO 8601)")
    checked.add_argument("--private-key", type=Path, metavar="FILE", help="also decrypt, and compare the content")
    for one in (restored, returned, unpacked, drilled):
        one.add_argument("--private-key", type=Path, metavar="FILE", required=True)
    restored.add_argument("--database", default="", help="the new database (default: the old name and the time)")
    restored.add_argument("--owner", default="", help="owner of everything in it (default: as it was)")
    restored.add_argument("--scratch", type=Path, metavar="FOLDER", help="room for the dump, for a parallel restore")
    restored.add_argument("--jobs", type=int, default=2, help="connections of a parallel restore (default: 2)")
    restored.add_argument("--roles", action="store_true", help="make roles that are missing first")
    unpacked.add_argument(
        "--to", type=Path, metavar="FOLDER", help="an empty folder; without it its texts are printed as JSON, by path"
    )
    drilled.add_argument("--folder", type=Path, default=Path("/tmp"), help="where there is room for the database")  # noqa: S108
    _moving(command)
    exported = command("exporter", run_exporter, "serve figures for Prometheus")
    exported.add_argument("--port", type=int, default=EXPORTER_PORT)
    return top


def _moving(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """Add what puts another database in the live one's place."""
    swapped = command("swap", run_swap, "rename a restored database into the live one's place")
    swapped.add_argument("--live", required=True)
    swapped.add_argument("--new", required=True)
    copied = command(
        "copy", run_copy, "copy the database of another server (SOURCE_PGHOST, ...) into a new one, checked"
    )
    copied.add_argument("--database", required=True, help="the new database")
    copied.add_argument("--owner", default="", help="owner of everything in it (default: as it was)")
    loaded = command("load", run_load, "fill a new database from a dump that is read from standard input")
    loaded.add_argument("--database", required=True, help="the new database")
    loaded.add_argument("--owner", default="", help="owner of everything in it (default: as it was)")
    loaded.add_argument("--bytes", type=int, required=True, help="how long the dump is")
    command("close", run_close, "let nobody change the source any more, and end its sessions")
    command("reopen", run_reopen, "undo close, or cut")
    replicated = command(
        "replicate", run_replicate, "replicate the source into a new database while it is written to, and catch up"
    )
    replicated.add_argument("--database", required=True, help="the new database, if it isn't replicated yet")
    replicated.add_argument("--owner", default="", help="owner of everything in it (default: as it was)")
    replicated.add_argument("--subscriber", default="", metavar="ROLE", help="whom the subscription works as")
    replicated.add_argument(
        "--root-certificate", default="", metavar="FILE", help="where the database server has the source's CA"
    )
    replicated.add_argument("--seconds", type=float, default=86400.0, help="how long to wait (default: 86400)")
    command("cut", run_cut, "close the source, and check the replicated database: it can be swapped in")
    command("detach", run_detach, "end replication: nothing of it remains at the source")


def moment(text: str) -> datetime:
    """Return a time; without a zone it is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def run_backup(_: argparse.Namespace, config: Config, bucket: Bucket) -> int:
    """Back the database up, and report it."""
    return back_up(config, bucket, DATABASE, "backup")


def run_media(_: argparse.Namespace, config: Config, bucket: Bucket) -> int:
    """Back media up, and report it."""
    return back_up(config, bucket, MEDIA, "media")


def back_up(config: Config, bucket: Bucket, series: str, kind: str) -> int:
    """Make a backup, and report it."""
    begun = datetime.now(UTC)
    job: Job | None = None

    def work() -> tuple[str, dict[str, float]]:
        nonlocal job
        job = Job(config, bucket, begun, series)
        made = job.run()
        plain = sum(stream.plain_bytes for stream in made.streams)
        said = f"backup {made.id}: {plain} bytes, {made.stored_bytes} stored, {made.seconds:.0f} s"
        return said, {"plain_bytes": plain, "stored_bytes": made.stored_bytes}

    return reported(bucket, kind, lambda: job.id if job else "", begun, work)


def run_list(options: argparse.Namespace, _: Config, bucket: Bucket) -> int:
    """Print the backups, one a line."""
    found = catalog.entries(bucket)
    if options.json:
        rows = [
            {
                "id": one.id,
                "good": one.good,
                "problem": one.problem,
                "manifest": one.manifest and dataclasses.asdict(one.manifest),
            }
            for one in found
        ]
        print(json.dumps(rows, indent=1))  # noqa: T201
        return 0
    tried = report.verified(bucket)
    for one in found:
        state = "good" if one.good else f"NOT GOOD: {one.problem}"
        size = f"{one.manifest.stored_bytes / (1 << 20):10.1f} MiB" if one.manifest else " " * 14
        series = one.manifest.series if one.manifest else ""
        print(f"{one.id}  {series:8}  {size}  {'restored' if one.id in tried else '        '}  {state}")  # noqa: T201
    return 0


def run_verify(options: argparse.Namespace, _: Config, bucket: Bucket) -> int:
    """Compare what is stored with the manifest."""
    manifest = chosen(options, bucket)
    if options.private_key:
        verify.check_content(bucket, manifest, crypt.identities(options.private_key))
    else:
        verify.check_stored(bucket, manifest)
    LOG.info("backup %s is %s", manifest.id, "whole and can be read" if options.private_key else "whole")
    return 0


def run_prune(options: argparse.Namespace, config: Config, bucket: Bucket) -> int:
    """Remove what nobody needs."""
    now = datetime.now(UTC)
    if options.dry_run:
        todo = prune.plan(bucket, config, now)
        for entry in (*todo.expired, *todo.unfinished):
            LOG.info("would remove %s", entry.id)
        for key, _ in todo.uploads:
            LOG.info("would abort the upload of %s", key)
        return 0

    def work() -> tuple[str, dict[str, float]]:
        done = prune.run(bucket, config, now)
        gone = len(done.expired) + len(done.unfinished)
        said = f"{len(done.kept)} backups kept, {gone} removed, {len(done.uploads)} uploads aborted"
        return said, {"kept": len(done.kept), "removed": gone, "damaged": len(done.damaged)}

    return reported(bucket, "prune", lambda: "", now, work)


def answer(text: str) -> None:
    """Say what somebody asked for: on standard output, and where a Job's maker finds it.

    A pod's log is two streams, whose lines may change places.
    """
    print(text)  # noqa: T201
    report.tell(text)


def run_restore(options: argparse.Namespace, _: Config, bucket: Bucket) -> int:
    """Restore beside what is there."""
    manifest = chosen(options, bucket)
    keys = crypt.identities(options.private_key)
    name = options.database or restore.new_name(manifest)
    if options.roles:
        LOG.info("roles made: %s", ", ".join(restore.roles(bucket, manifest, keys)) or "none")
    restore.restore(bucket, manifest, keys, name, restore.How(options.owner, options.jobs, options.scratch))
    LOG.info("backup %s is restored and checked in database %s", manifest.id, name)
    answer(name)
    return 0


def run_folder(options: argparse.Namespace, _: Config, bucket: Bucket) -> int:
    """Unpack a folder, or print it: there may be secrets in it, so that is for a program to read."""
    manifest = chosen(options, bucket)
    keys = crypt.identities(options.private_key)
    if options.to:
        restore.folder(bucket, manifest, keys, options.name, options.to)
        LOG.info("folder %s of backup %s is in %s", options.name, manifest.id, options.to)
        return 0
    with tempfile.TemporaryDirectory() as place:
        restore.folder(bucket, manifest, keys, options.name, Path(place))
        json.dump(restore.texts(Path(place)), sys.stdout)
    return 0


def run_restore_media(options: argparse.Namespace, config: Config, bucket: Bucket) -> int:
    """Bring media back."""
    manifest = chosen(options, bucket)
    keys = crypt.identities(options.private_key)
    if not config.media:
        raise BackupError("media: name the folders to bring files back into")
    for name in config.media:
        manifest.stream(name)
    for name in sorted({stream.name for stream in manifest.streams} - set(config.media)):
        LOG.warning("%s is in backup %s, and not among the folders here", name, manifest.id)
    for name, folder in config.media.items():
        found = media.bring_back(bucket, manifest, keys, name, Path(folder))
        beside = f", the backup's are in {found.beside.name}" if found.beside else ""
        print(  # noqa: T201
            f"{name}: {found.brought} files are back, {found.there} were there, {found.differing} are others{beside}"
        )
    return 0


def run_swap(options: argparse.Namespace, _: Config, __: Bucket) -> int:
    """Put a restored database in the live one's place."""
    answer(swap.swap(options.live, options.new))
    return 0


def run_copy(options: argparse.Namespace, config: Config, _: Bucket) -> int:
    """Copy a database of another server."""
    begun = time.monotonic()
    found = move.copy(config, options.database, options.owner)
    rows = sum(found.rows.values())
    LOG.info("%s is copied and checked, %d rows counted, %.1f s", found.name, rows, time.monotonic() - begun)
    answer(options.database)
    return 0


def run_load(options: argparse.Namespace, config: Config, _: Bucket) -> int:
    """Fill a database from a dump."""
    begun = time.monotonic()
    rows, apps = fill(config, options.database, sys.stdin.buffer, options.bytes, options.owner)
    found = ", ".join(f"{table} has {count} rows" for table, count in rows.items()) or "no table is counted"
    seconds = time.monotonic() - begun
    LOG.info("%s is filled, %.1f s: %s; %d apps have migrations", options.database, seconds, found, apps)
    answer(options.database)
    return 0


def run_close(_: argparse.Namespace, __: Config, ___: Bucket) -> int:
    """Close the source."""
    source = move.where_from()
    with leading_to(source):
        ended = move.close(source["PGDATABASE"])
    LOG.info("%s of %s is closed, %d sessions ended", source["PGDATABASE"], source["PGHOST"], ended)
    return 0


def run_reopen(_: argparse.Namespace, __: Config, ___: Bucket) -> int:
    """Open it again."""
    source = move.where_from()
    with leading_to(source):
        move.reopen(source["PGDATABASE"])
    replicate.resume()
    LOG.info("%s of %s is open", source["PGDATABASE"], source["PGHOST"])
    return 0


def run_replicate(options: argparse.Namespace, _: Config, __: Bucket) -> int:
    """Begin to replicate, or catch up; prints the database, and the slot that must not be forgotten."""
    begun = time.monotonic()
    found = replicate.replicate(
        options.database,
        options.seconds,
        owner=options.owner,
        subscriber=options.subscriber,
        root=options.root_certificate,
    )
    LOG.info("%s has caught up with the source, %.1f s", found.database, time.monotonic() - begun)
    answer(f"{found.database} {found.name}")
    return 0


def run_cut(_: argparse.Namespace, config: Config, __: Bucket) -> int:
    """Close the source for good; prints for how many seconds it has been closed."""
    found, seconds = replicate.cut(config)
    LOG.info("%s is closed, and all of it is here, %d rows counted", found.name, sum(found.rows.values()))
    answer(str(round(seconds, 1)))
    return 0


def run_detach(_: argparse.Namespace, __: Config, ___: Bucket) -> int:
    """End replication."""
    database = replicate.detach()
    LOG.info("nothing is left at the source; %s", f"{database} stays here" if database else "there was nothing here")
    return 0


def run_drill(options: argparse.Namespace, _: Config, bucket: Bucket) -> int:
    """Prove that a backup restores, and report it."""
    begun = datetime.now(UTC)
    found = ""

    def work() -> tuple[str, dict[str, float]]:
        nonlocal found
        manifest = chosen(options, bucket)
        found = manifest.id
        keys = crypt.identities(options.private_key)
        if manifest.series == MEDIA:
            figures = drill_media(bucket, manifest, keys)
            return f"backup {manifest.id} can be read: {figures['files']:.0f} files, {figures['seconds']} s", figures
        figures = drill(bucket, manifest, keys, options.folder)
        return f"backup {manifest.id} restores: {figures['rows']:.0f} rows checked, {figures['seconds']} s", figures

    return reported(bucket, report.DRILLS[options.series], lambda: found, begun, work)


def run_exporter(options: argparse.Namespace, config: Config, bucket: Bucket) -> int:
    """Serve figures until stopped."""
    with contextlib.suppress(Stopped, KeyboardInterrupt):
        serve(bucket, options.port, SERIES if config.media else (DATABASE,))
    return 0


def chosen(options: argparse.Namespace, bucket: Bucket) -> Manifest:
    """Return the backup that the options name."""
    return catalog.choose(catalog.entries(bucket), options.backup, options.before, options.series)


def reported(
    bucket: Bucket,
    kind: str,
    backup: Callable[[], str],
    begun: datetime,
    work: Callable[[], tuple[str, dict[str, float]]],
) -> int:
    """Do a job's work and leave a report of how it ended."""
    figures: dict[str, float] = {}
    try:
        message, figures = work()
        ok = True
    except (BackupError, psycopg.Error, KeyboardInterrupt) as error:
        ok, message = False, one_line(error) or "interrupted"
    LOG.log(logging.INFO if ok else logging.ERROR, "%s", message)
    report.end(bucket, Report(kind, ok, backup=backup(), message=message, figures=figures, **report.since(begun)))
    return 0 if ok else 1


def _stop(number: int, _: FrameType | None) -> None:
    """End in order: uploads are aborted, programs ended."""
    raise Stopped(f"stopped by {signal.Signals(number).name}: the pod was evicted, deleted or ran out of time")
