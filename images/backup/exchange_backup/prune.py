"""Remove what retention doesn't keep and what never finished. Runs with credentials of its own: it may delete."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from exchange_backup import manifest, report
from exchange_backup.bucket import Bucket
from exchange_backup.catalog import Entry, entries
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.retention import Point, keep

LOG: Final = logging.getLogger(__name__)
REPORT_DAYS: Final = 30
UNPROTECTED: Final = (
    "the bucket has neither versioning nor object lock: whoever has the put-only credentials can overwrite backups"
)


@dataclass(frozen=True)
class Pruning:
    """What is done, or would be."""

    kept: dict[str, list[str]]
    expired: tuple[Entry, ...]
    unfinished: tuple[Entry, ...]
    damaged: tuple[Entry, ...]
    uploads: tuple[tuple[str, str], ...]


def plan(bucket: Bucket, config: Config, now: datetime) -> Pruning:
    """Return what there is to do."""
    before = now - timedelta(hours=config.stale_hours)
    found = entries(bucket)
    verified = report.verified(bucket)
    good = [entry for entry in found if entry.good and entry.manifest]
    kept: dict[str, list[str]] = {}
    # Each series by itself: they never push each other out.
    for series in manifest.SERIES:
        made = [entry.manifest for entry in good if entry.manifest and entry.manifest.series == series]
        kept |= keep([Point(one.id, one.taken, one.id in verified) for one in made], config.retention)
    unfinished = [entry for entry in found if manifest.name_of(entry.id) not in entry.objects]
    return Pruning(
        kept,
        tuple(entry for entry in good if entry.id not in kept),
        tuple(entry for entry in unfinished if _began(entry.id, now) < before),
        # They may be the only trace of something: a person decides.
        tuple(entry for entry in found if not entry.good and entry not in unfinished),
        tuple(bucket.stale_uploads(before)),
    )


def _began(backup: str, now: datetime) -> datetime:
    """Return when a backup began, by its name; what isn't one of ours is never old."""
    try:
        return datetime.fromisoformat(backup.partition("-")[0])
    except ValueError:
        return now


def run(bucket: Bucket, config: Config, now: datetime) -> Pruning:
    """Do it. A backup's manifest goes first, so that none is listed that lacks objects.

    Raises:
        BackupError: something is left.
    """
    todo = plan(bucket, config, now)
    for entry in (*todo.expired, *todo.unfinished):
        first = manifest.name_of(entry.id)
        bucket.delete(name for name in entry.objects if name == first)
        bucket.delete(name for name in entry.objects if name != first)
        LOG.info("removed %s: %s", entry.id, entry.problem or "retention keeps newer ones")
    for key, upload in todo.uploads:
        bucket.abort(key, upload)
        LOG.info("aborted the upload of %s", key)
    _forget_reports(bucket, now, set(todo.kept))
    for entry in todo.damaged:
        LOG.warning("%s is damaged and left as it is: %s", entry.id, entry.problem)
    try:
        if not bucket.overwriting_is_prevented():
            LOG.warning("%s", UNPROTECTED)
    except BackupError as error:
        LOG.warning("whether overwriting is prevented is not known: %s", error)
    return todo


def _forget_reports(bucket: Bucket, now: datetime, kept: set[str]) -> None:
    """Remove old reports, but the last of each kind and those of drills of backups that are kept."""
    before = now - timedelta(days=REPORT_DAYS)
    old = []
    for kind in report.KINDS:
        names = sorted(bucket.sizes(f"{report.FOLDER}{kind}/"))
        for name in names[:-1]:
            if _began(name.rpartition("/")[2], now) < before:
                found = report.load(bucket, name) if kind in report.DRILLS.values() else None
                if not found or found.backup not in kept:
                    old.append(name)
    bucket.delete(old)
