"""A short version of the campaign: see testing.kill_trials."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from testing.processes import APP

KINDS = ["app", "server", "connections"]


def test_nothing_is_lost_or_doubled_when_things_are_killed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    command = [
        sys.executable,
        "-m",
        "testing.kill_trials",
        "--trials",
        "3",
        "--seconds",
        "3",
        "--results",
        str(results),
    ]
    done = subprocess.run(command, cwd=APP, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr + results.read_text()
    found = [json.loads(line) for line in results.read_text().splitlines()]
    assert [result["kind"] for result in found] == KINDS
    for result in found:
        # What was done was noticed, by clients or by the application that did their requests once more, and then the
        # load went on.
        assert result["first_tries_failed"] or result["repeated_by_app"]
        assert 0 < result["acknowledged_before"] < result["acknowledged"]
        assert result["problems"] == result["violations"] == []
        assert (result["given_up"], result["trades_without_candle"]) == (0, 0)
    # Run again, it has nothing left to do.
    again = subprocess.run(command, cwd=APP, capture_output=True, text=True, check=False, timeout=30)
    assert (again.returncode, len(results.read_text().splitlines())) == (0, 3)
    assert "3 of 3 trials went as they must" in again.stdout
