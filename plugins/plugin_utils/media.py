"""A folder of files on the control node, as it goes into a volume of the cluster."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.pods import Pod

MOST_NAMED = 10
READ_BYTES = 1 << 20
PROGRAM = ["python", "-m", "exchange_backup.incoming"]
Listing = dict[str, tuple[int, str]]


class MediaError(Exception):
    """The folder can't be copied; the message says why."""


def listing(folder: Path) -> Listing:
    """Return size in bytes and SHA-256 of every file below a folder, by its path there.

    Raises:
        MediaError: there is none, it can't be read, or something in it is neither a file nor a folder.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder} is no folder on the control node")
    found: Listing = {}
    odd = []
    try:
        for place, folders, files in os.walk(folder, onerror=_fail):
            for name in (*files, *folders):
                path = Path(place) / name
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    odd.append(str(path.relative_to(folder)))
                elif path.is_file():
                    found[str(path.relative_to(folder))] = path.stat().st_size, _sha256(path)
    except OSError as error:
        raise MediaError(f"{folder} can't be read: {error}") from error
    if odd:
        raise MediaError(
            f"{named(sorted(odd))} in {folder}: neither files nor folders: take them away, or what they lead to in"
        )
    return dict(sorted(found.items()))


def copy(folder: Path, pod: Pod, into: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Copy what a pod's folder lacks, and compare it there.

    Args:
        folder: on the control node.
        pod: of the image `backup`.
        into: the pod's folder.
        say: is told how much there is to do.

    Returns:
        changed, files and bytes (all of them), and copied (how many files weren't there).

    Raises:
        MediaError: something there differs, before anything is copied; or isn't what was sent, afterwards.
        PodError: the pod can't.
    """
    files = listing(folder)
    found = _compared(pod, into, files)
    if found["differing"]:
        raise MediaError(
            f"{named(found['differing'])}: there already, and not what {folder} has. Nothing has been copied: move them"
            " away, here or there"
        )
    missing = found["missing"]
    say(f"{len(missing)} files, {total(files, missing) >> 20} MiB to copy")
    if missing:
        pod.run([*PROGRAM, "take", into], archive(folder, missing))
        wrong = _compared(pod, into, {path: files[path] for path in missing})
        if bad := wrong["missing"] + wrong["differing"]:
            raise MediaError(f"{named(bad)}: not what {folder} had: was it written to? Run it again")
    return {
        "changed": bool(missing),
        "files": len(files),
        "bytes": total(files, list(files)),
        "copied": len(missing),
    }


def _compared(pod: Pod, into: str, files: Listing) -> dict[str, list[str]]:
    """Return which files are the same there, which differ and which are missing."""
    answer: dict[str, list[str]] = json.loads(pod.run([*PROGRAM, "compare", into], [json.dumps(files).encode(), b"\n"]))
    return answer


def archive(folder: Path, paths: Sequence[str]) -> Iterator[bytes]:
    """Yield a tar of files, as it is made: no more of it is in memory than a piece.

    Raises:
        MediaError: a file has become shorter, or is gone.
    """
    for path in paths:
        try:
            with (folder / path).open("rb") as content:
                state = os.fstat(content.fileno())
                member = tarfile.TarInfo(path)
                member.size, member.mtime = state.st_size, int(state.st_mtime)
                yield member.tobuf(tarfile.PAX_FORMAT)
                left = member.size
                while left:
                    data = content.read(min(READ_BYTES, left))
                    if not data:
                        raise MediaError(f"{path} became shorter while it was read: run it again")
                    left -= len(data)
                    yield data
        except OSError as error:
            raise MediaError(f"{path}: {error}: run it again") from error
        yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(tarfile.RECORDSIZE)


def named(paths: Sequence[str]) -> str:
    """Return a few paths, and how many more there are."""
    more = len(paths) - MOST_NAMED
    return ", ".join(paths[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def total(files: Mapping[str, tuple[int, str]], paths: Sequence[str]) -> int:
    """Return how many bytes some files have."""
    return sum(files[path][0] for path in paths)


def content_of(file: Path) -> Iterator[bytes]:
    """Yield a file piece by piece."""
    with file.open("rb") as content:
        while data := content.read(READ_BYTES):
            yield data


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _fail(error: OSError) -> None:
    raise error
