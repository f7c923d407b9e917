"""images/pgbouncer: clients go on after the deadline, whoever asked them to wait."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[3] / "images" / "pgbouncer"
# Stands in for psql: notes what it is told, and for how long it takes or what it says.
PSQL = """#!/bin/sh
echo "$3" >>"$PGHOST/said"
case "$3" in
  PAUSE*) sleep "${PAUSE_TAKES:-0}" ;;
  RESUME*) if [ -n "${RESUME_SAYS:-}" ]; then echo "$RESUME_SAYS" >&2; exit 1; fi ;;
esac
"""

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Return a function that runs one of the programs, with a psql that notes what it is told in `said`."""
    (tmp_path / "psql").write_text(PSQL)
    (tmp_path / "psql").chmod(0o755)

    def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
        path = f"{tmp_path}:{IMAGE}:{os.environ['PATH']}"
        return subprocess.run(
            command, env={**env, "PATH": path, "PGHOST": str(tmp_path)}, capture_output=True, text=True, check=False
        )

    return run


def said(folder: Path, lines: int, seconds: float = 15) -> list[str]:
    """Return what psql was told, once it is so many lines."""
    deadline = time.monotonic() + seconds
    while len(found := (folder / "said").read_text().splitlines()) < lines and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_clients_go_on_by_themselves(call: Call, tmp_path: Path) -> None:
    start = time.monotonic()
    assert call("pause", "shop", "1").returncode == 0
    assert said(tmp_path, 1) == ["PAUSE shop"]
    assert said(tmp_path, 2) == ["PAUSE shop", "RESUME shop"]
    assert time.monotonic() - start >= 1


def test_a_second_pause_has_a_deadline_of_its_own(call: Call, tmp_path: Path) -> None:
    call("pause", "shop", "2")
    first = (tmp_path / "resume.pid").read_text()
    call("pause", "shop", "600")
    second = (tmp_path / "resume.pid").read_text()
    assert first != second
    subprocess.run(["kill", "--", f"-{second.strip()}"], check=False)
    time.sleep(2.5)
    assert said(tmp_path, 2) == ["PAUSE shop", "PAUSE shop"]


def test_transactions_that_do_not_end_are_not_waited_for(call: Call, tmp_path: Path) -> None:
    result = call("pause", "shop", "1", PAUSE_TAKES="30")
    assert result.returncode == 1
    assert "did not end within 5 s" in result.stderr
    # By its deadline, which was shorter, and for what is worth because it gave up.
    assert said(tmp_path, 3) == ["PAUSE shop", "RESUME shop", "RESUME shop"]


def test_resuming_what_is_not_paused_is_no_error(call: Call) -> None:
    assert call("resume", "shop").returncode == 0
    assert call("resume", "shop", RESUME_SAYS="ERROR:  database shop is not paused").returncode == 0


def test_any_other_error_is_one(call: Call) -> None:
    result = call("resume", "shop", RESUME_SAYS="ERROR:  no such database: shop")
    assert result.returncode != 0
    assert "no such database" in result.stderr
