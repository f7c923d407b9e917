"""Several processes on one PostgreSQL: nothing is spent twice, nothing is lost, nobody waits for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping

import pytest

from testing.hammer import STEPS
from testing.processes import APP, manage

PROCESSES = 4


def hammer(variables: Mapping[str, str], what: str, processes: int = PROCESSES) -> Counter[str]:
    """Let processes do the same thing at once and add up what came of it."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "testing.hammer", what, str(seed)],
            cwd=APP,
            env=dict(variables) | {"LOG_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(processes)
    ]
    total: Counter[str] = Counter()
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in running:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            total.update(json.loads(out))
    finally:
        for process in running:
            process.kill()
            process.wait()
    return total


@pytest.fixture(scope="module")
def filled(served_database: dict[str, str]) -> dict[str, str]:
    """Give the traders money."""
    hammer(served_database, "prepare", processes=1)
    return served_database


def assert_books_balance(variables: Mapping[str, str]) -> None:
    """Run check_books."""
    done = manage(variables, "check_books", "--json")
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert report["ok"]
    assert report["checked"]["movements"] > 0


def test_identical_requests_at_once_act_once(filled: dict[str, str]) -> None:
    answers = hammer(filled, "identical")
    assert list(answers.values()) == [PROCESSES]
    assert_books_balance(filled)


def test_money_is_not_spent_twice(filled: dict[str, str]) -> None:
    result = hammer(filled, "overdraw")
    assert result == {"taken": 100, "refused": PROCESSES * STEPS - 100}
    assert_books_balance(filled)


def test_anything_at_once_ends_without_deadlock(filled: dict[str, str]) -> None:
    result = hammer(filled, "mixed")
    assert sum(result.values()) == PROCESSES * STEPS
    assert result["confirm"] > 0
    assert_books_balance(filled)
