"""What a machine lacks, each with what to do about it."""

from __future__ import annotations

import pytest
from cluster.machine import DISK_GIB, MEMORY_GIB, available_memory_gib, problems


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTOEXCHANGE_CACHE", "/somewhere")


def test_a_machine_that_has_everything() -> None:
    assert problems(MEMORY_GIB, DISK_GIB, [], can_install=False) == []


@pytest.mark.parametrize(
    ("memory", "disk", "missing", "expected"),
    [
        (
            MEMORY_GIB - 0.1,
            DISK_GIB,
            [],
            f"{MEMORY_GIB - 0.1:.1f} GiB of memory are available, {MEMORY_GIB} are needed",
        ),
        (MEMORY_GIB, DISK_GIB - 1, [], f"{DISK_GIB - 1} GiB of disk are free in /somewhere, {DISK_GIB} are needed"),
        (MEMORY_GIB, 0, [], "CRYPTOEXCHANGE_CACHE"),
        (MEMORY_GIB, DISK_GIB, ["runc", "curl"], "as root: apt-get install runc curl"),
    ],
)
def test_each_lack_is_named(memory: float, disk: float, missing: list[str], expected: str) -> None:
    [problem] = problems(memory, disk, missing, can_install=False)
    assert expected in problem


def test_all_lacks_come_at_once() -> None:
    assert len(problems(0, 0, ["runc"], can_install=False)) == 3


def test_what_can_be_installed_is_no_problem() -> None:
    assert problems(MEMORY_GIB, DISK_GIB, ["runc"], can_install=True) == []


def test_the_memory_of_this_machine_is_a_sensible_number() -> None:
    assert 0.01 < available_memory_gib() < 100_000
