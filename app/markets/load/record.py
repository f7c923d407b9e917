"""The record of a load: one JSON object a line, for everything that was tried and everything that was answered.

A line is handed to the operating system before the load goes on: what was acknowledged is known even if the load itself
is killed. Events:

- start: `run` (begins every key), `traders`, `base_url`
- try: about to send; `key`, `trader`, `number` (of the try), `kind` (order or cancel), at the first try `body`
- failed: nobody knows whether this try did anything; `failure`, `seconds`
- answered: `status`, `replayed`, `seconds`, and `body`, what the API said
- gave up: after tries that failed
- end: the summary
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Record:
    """Writes a record; without a file it forgets."""

    def __init__(self, path: Path | None) -> None:
        """Start a new one; FileExistsError if there is one."""
        self._file = path.open("x", encoding="utf-8", buffering=1) if path else None
        self._lock = threading.Lock()

    def write(self, event: str, **fields: Any) -> None:
        """Write one event."""
        if self._file is None:
            return
        line = json.dumps({"event": event, "at": datetime.now(UTC).isoformat(), **fields})
        with self._lock:
            self._file.write(line + "\n")

    def close(self) -> None:
        """End it."""
        if self._file is not None:
            self._file.close()


def read(path: Path) -> Iterator[Event]:
    """Return the events of a record. Its last line may be cut off, as a killed load leaves it.

    Raises:
        ValueError: another line is not one of a record.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                event = json.loads(line)
            except ValueError:
                if not line.endswith("\n"):
                    return
                raise ValueError(f"line {number} is not JSON") from None
            if not isinstance(event, dict) or "event" not in event:
                raise ValueError(f"line {number} is not an event")
            yield event
