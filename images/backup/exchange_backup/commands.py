"""Programs that write or read a stream: pg_dump, pg_restore, tar. What they complain of ends up in the error."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final, Self

from exchange_backup.errors import BackupError

LINES_KEPT: Final = 12
STOP_SECONDS: Final = 10
PIPE_BYTES: Final = 1 << 20


class Command:
    """A running program with one pipe, to read from or to write to."""

    def __init__(
        self, argv: Sequence[str], *, writes: bool, env: Mapping[str, str] | None = None, fine: Collection[int] = (0,)
    ) -> None:
        """Start it; `writes` says that we read what it writes; `fine` are the exit codes of success."""
        self.argv, self.fine = list(argv), fine
        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL if writes else subprocess.PIPE,
                stdout=subprocess.PIPE if writes else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, **env} if env else None,
                bufsize=PIPE_BYTES,
            )
        except OSError as error:
            raise BackupError(f"{self.argv[0]} can't be started: {error}") from error
        # So that it goes on while we encrypt and send. More than this is not allowed to everybody.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._said: deque[str] = deque(maxlen=LINES_KEPT)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pipe(self) -> IO[bytes]:
        """Return our end of the pipe."""
        pipe = self.process.stdout or self.process.stdin
        assert pipe is not None  # noqa: S101
        return pipe

    def finish(self) -> None:
        """Close the pipe and wait for the end.

        Raises:
            BackupError: it failed, with what it said.
        """
        # If it ended before it had read everything, its exit code says why.
        with contextlib.suppress(BrokenPipeError):
            self.pipe.close()
        code = self.process.wait()
        self._listener.join()
        if code not in self.fine:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
            raise BackupError(f"{self.argv[0]} {how}: {self.said() or 'it said nothing'}")

    def said(self) -> str:
        """Return the last lines of its standard error, as one."""
        return " / ".join(self._said)

    def _listen(self) -> None:
        assert self.process.stderr is not None  # noqa: S101
        for line in self.process.stderr:
            text = line.decode(errors="replace").strip()
            if text:
                self._said.append(text)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, if it hasn't ended."""
        with contextlib.suppress(OSError):
            self.pipe.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def broken_pipe_is_its_fault(command: Command) -> Iterator[None]:
    """When a program ends before it has read everything, tell what it said instead of "broken pipe"."""
    try:
        yield
    except BrokenPipeError as error:
        command.finish()
        raise BackupError(f"{command.argv[0]} stopped reading before the end: {command.said()}") from error


def output(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Return what a short program prints."""
    with Command(argv, writes=True, env=env) as command:
        found: Any = command.pipe.read()
        command.finish()
    return str(found.decode().strip())


def run(argv: Sequence[str]) -> None:
    """Run a program with which we share no pipe: one that it leaves behind would hold it open.

    Raises:
        BackupError: it failed, with what it said.
    """
    with tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, check=False)
        except OSError as error:
            raise BackupError(f"{argv[0]} can't be started: {error}") from error
        if done.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()[-LINES_KEPT:]
            raise BackupError(f"{argv[0]} ended with {done.returncode}: {' / '.join(lines)}")
