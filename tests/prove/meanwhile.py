"""Something that is done again and again beside a campaign's operation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
