"""Take files into a folder without ever writing over one: `python -m exchange_backup.incoming compare|take FOLDER`.

`compare` reads one line of JSON, sizes and digests by path, and answers with what the folder has of it. `take` reads a
tar to its end; a file appears under its name when it is whole, so that a stopped run is simply run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from exchange_backup.errors import BackupError

READ_BYTES: Final = 1 << 20
UNFINISHED: Final = ".moving-in"


def compare(folder: Path, wanted: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return which of the wanted files are the same here, which differ, and which are missing.

    Args:
        folder: where they are to be.
        wanted: size in bytes and SHA-256 by path.
    """
    found: dict[str, list[str]] = {"same": [], "differing": [], "missing": []}
    for path, (size, digest) in wanted.items():
        file = inside(folder, path)
        if not file.exists() and not file.is_symlink():
            kind = "missing"
        else:
            same = file.is_file() and file.stat().st_size == size and sha256(file) == digest
            kind = "same" if same else "differing"
        found[kind].append(path)
    return found


def take(folder: Path, stream: IO[bytes]) -> int:
    """Unpack a tar of files; return how many there were.

    A tar that ends between two files isn't noticed: whoever sends it compares afterwards.

    Raises:
        BackupError: one is there already, or it is no tar of files.
    """
    unfinished = folder / UNFINISHED
    taken = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                file = inside(folder, member.name)
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise BackupError(f"{member.name} is no file")
                if file.exists() or file.is_symlink():
                    raise BackupError(f"{member.name} is there already: nothing is ever written over")
                file.parent.mkdir(parents=True, exist_ok=True)
                with unfinished.open("wb") as target:
                    shutil.copyfileobj(content, target, READ_BYTES)
                    target.flush()
                    os.fsync(target.fileno())
                os.utime(unfinished, (member.mtime, member.mtime))
                unfinished.rename(file)
                taken += 1
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"after {taken} files: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return taken


def inside(folder: Path, path: str) -> Path:
    """Return a path in the folder.

    Raises:
        BackupError: it leads out of it.
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise BackupError(f"{path} is not below the folder")
    return folder / parts


def sha256(file: Path) -> str:
    """Return a file's digest."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def main(arguments: Sequence[str], stream: IO[bytes]) -> int:
    """Do what is asked and print the answer as one line of JSON."""
    action, folder = arguments[0], Path(arguments[1])
    try:
        answer = take(folder, stream) if action == "take" else compare(folder, json.loads(stream.readline()))
    except (BackupError, OSError, ValueError) as error:
        print(f"{folder}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(answer))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer))
