"""What PostgreSQL takes as a parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_settings import (
    PROTECTED,
    known,
    normal_value,
    restart_reasons,
    size_bytes,
)

VARS = yaml.safe_load((Path(__file__).parents[4] / "roles" / "postgres" / "vars" / "main.yml").read_text())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("work_mem", "4MB", "4MB"),
        ("work_mem", " 4 MB ", " 4 MB "),
        ("work_mem", 4096, 4096),
        ("work_mem", "0.5GB", "0.5GB"),
        ("statement_timeout", "2min", "2min"),
        ("statement_timeout", 0, 0),
        ("log_min_duration_statement", -1, -1),
        ("random_page_cost", "1.5", "1.5"),
        ("enable_seqscan", False, "off"),
        ("enable_seqscan", "yes", "on"),
        ("wal_compression", True, "on"),
        ("wal_compression", "LZ4", "lz4"),
        ("log_line_prefix", "%m ", "%m "),
        ("auto_explain.log_min_duration", "1s", "1s"),
        ("shared_preload_libraries", "pg_stat_statements, auto_explain", "pg_stat_statements,auto_explain"),
        ("default_transaction_isolation", "repeatable read", "repeatable read"),
    ],
)
def test_taken(name: str, value: Any, expected: Any) -> None:
    assert normal_value(name, value) == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("work_mem", "5 potatoes", "is '5 potatoes'; expected a number with one of the units B, kB, MB, GB, TB"),
        ("work_mem", "4Mi", "is '4Mi'; expected a number with one of the units"),
        ("work_mem", "10kB", "is '10kB'; allowed: 64 to 2147483647 kB"),
        ("work_mem", True, "is True; expected a number"),
        ("work_mem", ["4MB"], "expected a number, a text or a boolean"),
        ("work_mem", None, "is None; expected a number, a text or a boolean"),
        ("statement_timeout", "4MB", "is '4MB'; expected a number with one of the units us, ms, s, min, h, d"),
        ("max_connections", 10, "is 10; allowed: 25 to 262143"),
        ("max_connections", "1.5", "expected a whole number"),
        ("max_connections", "100MB", "is '100MB'; expected a number"),
        ("enable_seqscan", "perhaps", "is 'perhaps'; allowed: on, off"),
        ("wal_level", "minimal", "is 'minimal'; allowed: replica, logical"),
        ("wal_compression", "brotli", "is 'brotli'; allowed: pglz, lz4, zstd, on, off"),
        ("checkpoint_completion_target", 1.5, "is 1.5; allowed: 0 to 1"),
        ("work_mme", "4MB", "is no parameter of PostgreSQL 17.*did you mean work_mem"),
        ("server_version", "17", "is no parameter of PostgreSQL 17"),
        ("listen_addresses", "*", "may not be set: Patroni sets it"),
        ("archive_command", "cp", "may not be set: archiving is set up by the role"),
        ("fsync", "off", "may not be set: without it a crash can lose the database"),
        ("shared_preload_libraries", "pg_cron", "names pg_cron; the image has: auto_explain"),
    ],
)
def test_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normal_value(name, value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("shared_buffers", "1GB", 2**30),
        ("shared_buffers", 100, 819200),
        ("work_mem", "64kB", 65536),
        ("max_wal_size", 1, 2**20),
    ],
)
def test_sizes(name: str, value: Any, expected: int) -> None:
    assert size_bytes(name, value) == expected


def test_what_the_role_sets_itself_is_protected_and_nothing_else_is_overwritten() -> None:
    assert set(VARS["__postgres_fixed_parameters"]) <= set(PROTECTED)
    assert not set(VARS["__postgres_default_parameters"]) & set(PROTECTED)


def test_what_the_role_proposes_is_taken() -> None:
    for name, value in VARS["__postgres_default_parameters"].items():
        assert normal_value(name, value) == value


def test_protected_names_exist() -> None:
    # Gone since PostgreSQL 16, and still refused by its old name.
    assert set(PROTECTED) - set(known()) == {"promote_trigger_file"}


RUNNING: dict[str, dict[str, Any]] = {
    "shared_buffers": {"value": "16384", "configured": True},
    "max_connections": {"value": "34", "configured": False},
    "wal_log_hints": {"value": "on", "configured": False},
    "shared_preload_libraries": {"value": "pg_stat_statements", "configured": True},
    "hba_file": {"value": "/somewhere", "configured": True},
}
WANTED = {
    "shared_buffers": "128MB",
    "max_connections": 34,
    "wal_log_hints": "on",
    "shared_preload_libraries": "pg_stat_statements",
    "work_mem": "4MB",
}


@pytest.mark.parametrize(
    ("running", "wanted", "expected"),
    [
        ({}, {}, []),
        ({}, {"work_mem": "1GB"}, []),
        ({}, {"shared_buffers": "131072kB"}, []),
        ({}, {"shared_buffers": "131073kB"}, []),
        ({}, {"shared_buffers": "256MB"}, ["shared_buffers runs as 16384, wanted is 256MB"]),
        ({}, {"max_connections": "40"}, ["max_connections runs as 34, wanted is 40"]),
        ({"max_worker_processes": {"value": "9", "configured": False}}, {}, []),
        (
            {"max_files_per_process": {"value": "500", "configured": True}},
            {},
            ["max_files_per_process runs as 500, wanted is the default"],
        ),
    ],
)
def test_what_only_a_restart_changes(
    running: dict[str, dict[str, Any]], wanted: dict[str, Any], expected: list[str]
) -> None:
    assert restart_reasons({**RUNNING, **running}, {**WANTED, **wanted}) == expected
