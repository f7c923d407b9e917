"""Run commands, and tell a person how a long one is getting on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

from contextlib import contextmanager


class Failure(Exception):  # noqa: N818  # what a person reads, not a bug
    """Something a person has to know; the message says what to do."""


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


@contextmanager
def repeated(do: Callable[[], None], every_seconds: float) -> Iterator[None]:
    """Do something after each pause of so many seconds, while the block runs; its end waits for the last time."""
    done = threading.Event()

    def loop() -> None:
        while not done.wait(every_seconds):
            do()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def step(what: str, usual_seconds: float = 0) -> Iterator[None]:
    """Announce a step; every 30 s say that it is still running, at the end how long it took."""
    usual = f" (usually {usual_seconds / 60:.0f} min)" if usual_seconds >= 60 else ""
    say(f"==> {what}{usual}")
    begun = time.monotonic()
    with repeated(lambda: say(f"    ... {what}: {time.monotonic() - begun:.0f} s"), 30):
        yield
    say(f"    {what}: done in {time.monotonic() - begun:.0f} s")


def run(  # noqa: PLR0913  # each is one property of the command
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: Any = None,
    text_in: str | None = None,
    check: bool = True,
) -> str:
    """Run a command and return what it printed.

    Raises:
        Failure: it can't be started or ended with an error; the message carries its last lines.
    """
    command = [str(part) for part in argv]
    try:
        result = subprocess.run(
            command,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            stdin=stdin if text_in is None else None,
            input=text_in.encode() if text_in is not None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise Failure(f"{command[0]} can't be started: {error}") from error
    output = result.stdout.decode(errors="replace")
    if check and result.returncode != 0:
        last = "\n".join((output + result.stderr.decode(errors="replace")).splitlines()[-25:])
        raise Failure(f"{' '.join(command[:6])} ended with {result.returncode}:\n{last}")
    return output


def fail(message: str) -> int:
    """Print an error and return the exit code that goes with it."""
    print(f"\nERROR: {message}", file=sys.stderr, flush=True)
    return 1
