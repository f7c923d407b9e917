"""Bring files of a backup back into a folder in which others may be: what is there is never written over."""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exchange_backup.bucket import Bucket
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Manifest
from exchange_backup.restore import unpack

LOG: Final = logging.getLogger(__name__)
STAGING: Final = ".restoring-"


@dataclass(frozen=True)
class Returned:
    """What became of a backup's files: brought back, there already, and there but another.

    Those are in `beside`, as the backup has them.
    """

    name: str
    brought: int
    there: int
    differing: int
    beside: Path | None


def bring_back(bucket: Bucket, manifest: Manifest, keys: Sequence[Any], name: str, to: Path) -> Returned:
    """Bring what a folder lacks back into it.

    All of it is unpacked beside first, and compared with what was backed up: nothing reaches the others before.

    Raises:
        BackupError: there is no such folder, no room, or it isn't what was backed up. Then all is as it was.
    """
    stream = manifest.stream(name)
    if not to.is_dir():
        raise BackupError(f"media.{name}: {to} is not a folder: mount it, or leave it out")
    needed, free = (stream.files.bytes if stream.files else stream.plain_bytes), shutil.disk_usage(to).free
    if free < needed:
        raise BackupError(
            f"{to} has {free} bytes left, {needed} are needed, since all is unpacked beside what is there: make room"
        )
    try:
        with staging(to) as folder:
            unpack(bucket, stream, keys, folder)
            return merge(name, folder, to, to / f"restored-{manifest.id}")
    except OSError as error:
        raise BackupError(f"media.{name}: {error}") from error


@contextmanager
def staging(to: Path) -> Iterator[Path]:
    """Make a folder in another, for the time of the block. What an earlier one left, which was killed, goes too."""
    for left in to.glob(f"{STAGING}*"):
        LOG.warning("removing %s, which a restore that didn't end has left", left)
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=STAGING, dir=to))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def merge(name: str, staged: Path, to: Path, beside: Path) -> Returned:
    """Move what is missing into its place, and what is there but another into a folder beside."""
    brought = there = differing = 0
    while os.path.lexists(beside):
        beside = beside.with_name(f"{beside.name}-again")
    for file in sorted(staged.rglob("*")):
        within = file.relative_to(staged)
        if file.is_dir() and not file.is_symlink():
            made(to, within)
        elif made(to, within.parent) and moved(file, to / within):
            brought += 1
        elif same(file, to / within):
            there += 1
        else:
            differing += 1
            (beside / within).parent.mkdir(parents=True, exist_ok=True)
            file.rename(beside / within)
    return Returned(name, brought, there, differing, beside if differing else None)


def made(to: Path, within: Path) -> bool:
    """Make a folder in another unless it is there; say whether it is one now, and no link that leads elsewhere."""
    place = to / within
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return False
    return place.resolve() == to.resolve() / within


def moved(file: Path, place: Path) -> bool:
    """Move a file unless something is in its place; say whether it was moved."""
    try:
        # Unlike a renaming, this never replaces what comes to be there meanwhile.
        os.link(file, place, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:
        # Not every file system has links.
        if os.path.lexists(place):
            return False
        file.rename(place)
        return True
    file.unlink()
    return True


def same(file: Path, place: Path) -> bool:
    """Say whether two files, or two links, are the same."""
    if file.is_symlink() or place.is_symlink():
        return file.is_symlink() and place.is_symlink() and file.readlink() == place.readlink()
    return place.is_file() and filecmp.cmp(file, place, shallow=False)
