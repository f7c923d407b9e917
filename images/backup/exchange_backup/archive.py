"""What is in a tar that passes by, as Python's own tarfile reads it."""

from __future__ import annotations

import os
import tarfile
import threading
from typing import Final, Self

from exchange_backup.crypt import READ_BYTES, Reader
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Files

BLOCKS_BYTES: Final = 1 << 20


class Members:
    """Counts the files of what is written to it. A thread reads along, since tarfile wants to read."""

    def __init__(self) -> None:
        """Begin."""
        end, begin = os.pipe()
        self._end, self._begin = os.fdopen(end, "rb"), os.fdopen(begin, "wb", buffering=0)
        self._count = self._bytes = 0
        self._problem = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Take all of it."""
        view = memoryview(data)
        while view:
            view = view[self._begin.write(view) :]
        return len(data)

    def passing(self, reader: Reader) -> Reader:
        """Return a reader of the same, which is counted on its way."""
        return _Passing(reader, self)

    def finish(self) -> Files:
        """Return what there was.

        Raises:
            BackupError: it is no tar, or not a whole one.
        """
        self._close()
        if self._problem:
            raise BackupError(f"the archive can't be read: {self._problem}")
        return Files(self._count, self._bytes)

    def _read(self) -> None:
        try:
            with tarfile.open(fileobj=self._end, mode="r|", bufsize=BLOCKS_BYTES) as archive:
                while (one := archive.next()) is not None:
                    if one.isfile() or one.islnk():
                        self._count += 1
                        self._bytes += one.size
                    # It would keep all of them.
                    archive.members.clear()  # type: ignore[attr-defined]  # it isn't among its stubs
        except Exception as error:  # noqa: BLE001  # what is no archive makes tarfile raise anything
            self._problem = str(error) or repr(error)
        # Whoever writes goes on to the end, whatever was wrong.
        while self._end.read(READ_BYTES):
            pass

    def _close(self) -> None:
        self._begin.close()
        self._thread.join()
        self._end.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._close()


class _Passing:
    """A reader whose data is counted."""

    def __init__(self, reader: Reader, members: Members) -> None:
        self.reader, self.members = reader, members

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none at the end."""
        data = self.reader.read(size)
        self.members.write(data)
        return data
