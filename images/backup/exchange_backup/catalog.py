"""Which backups there are, and whether each is whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from exchange_backup import manifest as manifests
from exchange_backup.bucket import Bucket
from exchange_backup.errors import BackupError
from exchange_backup.manifest import DATABASE, FOLDER, Manifest


@dataclass(frozen=True)
class Entry:
    """A backup as the bucket has it: good, or why not."""

    id: str
    objects: tuple[str, ...]
    manifest: Manifest | None
    problem: str = ""

    @property
    def good(self) -> bool:
        """Say whether it is whole, as far as sizes tell."""
        return not self.problem


def entries(bucket: Bucket) -> list[Entry]:
    """Return every backup, the oldest first."""
    sizes = bucket.sizes(FOLDER)
    names: dict[str, dict[str, int]] = {}
    for name, size in sizes.items():
        backup, slash, _ = name.removeprefix(FOLDER).partition("/")
        if slash:
            names.setdefault(backup, {})[name] = size
    return [_entry(bucket, backup, names[backup]) for backup in sorted(names)]


def _entry(bucket: Bucket, backup: str, sizes: Mapping[str, int]) -> Entry:
    objects = tuple(sorted(sizes))
    if manifests.name_of(backup) not in sizes:
        return Entry(backup, objects, None, "no manifest: it never finished")
    try:
        manifest = manifests.load(bucket.get(manifests.name_of(backup)), backup)
    except BackupError as error:
        return Entry(backup, objects, None, str(error))
    return Entry(backup, objects, manifest, problem(manifest, sizes))


def problem(manifest: Manifest, sizes: Mapping[str, int]) -> str:
    """Return what the bucket lacks of what a manifest says, or nothing."""
    for stream in manifest.streams:
        for segment in stream.segments:
            if segment.name not in sizes:
                return f"{segment.name} is missing"
            if sizes[segment.name] != segment.bytes:
                return f"{segment.name} has {sizes[segment.name]} bytes, the manifest says {segment.bytes}"
    return ""


def choose(found: list[Entry], wanted: str, before: datetime | None = None, series: str = DATABASE) -> Manifest:
    """Return a good backup of a series: `latest`, the latest before a time, or the one of this id.

    Raises:
        BackupError: there is none, or it isn't good.
    """
    if wanted != "latest":
        entry = next((entry for entry in found if entry.id == wanted), None)
        if entry is None:
            raise BackupError(f"there is no backup {wanted}; `list` names those there are")
        if entry.manifest is None or not entry.good:
            raise BackupError(f"backup {wanted} is not good: {entry.problem}; `list` names others")
        if entry.manifest.series != series:
            raise BackupError(
                f"backup {wanted} is one of {entry.manifest.series}, not of {series}; `list` names others"
            )
        return entry.manifest
    good = [entry.manifest for entry in found if entry.good and entry.manifest and entry.manifest.series == series]
    fitting = [one for one in good if before is None or one.taken < before]
    if not fitting:
        when = f" before {before.isoformat()}" if before else ""
        what = "" if series == DATABASE else f" of {series}"
        raise BackupError(f"there is no good backup{what}{when}; `list` says what there is")
    return max(fitting, key=lambda one: one.taken)
