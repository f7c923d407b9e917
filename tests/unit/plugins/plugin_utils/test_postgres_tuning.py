"""PostgreSQL's parameters from memory, CPU and volume."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_settings import known, normal_value
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_tuning import (
    CONNECTIONS_MAX,
    CONNECTIONS_MIN,
    GIB,
    MIB,
    MIN_MEMORY_BYTES,
    MIN_VOLUME_BYTES,
    memory_use,
    tuned_parameters,
)
from hypothesis import example, given
from hypothesis import strategies as st

MEMORY = st.integers(MIN_MEMORY_BYTES, 1024 * GIB)
VOLUME = st.integers(MIN_VOLUME_BYTES, 64 * 1024 * GIB)
CPUS = st.decimals(Decimal("0.01"), Decimal(128), places=2)


@pytest.mark.parametrize(
    ("memory", "cpus", "volume", "expected"),
    [
        (
            256 * MIB,
            "0.1",
            GIB,
            {
                "shared_buffers": "64MB",
                "effective_cache_size": "192MB",
                "max_connections": CONNECTIONS_MIN,
                "max_parallel_workers_per_gather": 0,
                "max_worker_processes": 8,
                "max_wal_size": "102MB",
                "max_slot_wal_keep_size": "204MB",
            },
        ),
        (
            GIB,
            "1",
            10 * GIB,
            {
                "shared_buffers": "256MB",
                "effective_cache_size": "768MB",
                "max_connections": 82,
                "work_mem": "2MB",
                "maintenance_work_mem": "41MB",
                "max_wal_size": "1GB",
                "min_wal_size": "256MB",
                "wal_keep_size": "256MB",
                "max_slot_wal_keep_size": "2GB",
            },
        ),
        (
            64 * GIB,
            "15.5",
            1024 * GIB,
            {
                "shared_buffers": "16GB",
                "effective_cache_size": "48GB",
                "max_connections": CONNECTIONS_MAX,
                "maintenance_work_mem": "1GB",
                "max_parallel_workers": 16,
                "max_parallel_workers_per_gather": 4,
                "max_worker_processes": 20,
                "max_wal_size": "8GB",
                "wal_keep_size": "512MB",
            },
        ),
    ],
    ids=["smallest", "default", "large"],
)
def test_parameters_of_a_machine(memory: int, cpus: str, volume: int, expected: dict[str, Any]) -> None:
    parameters = tuned_parameters(memory, Decimal(cpus), volume, {})
    assert {name: parameters[name] for name in expected} == expected


@given(MEMORY, CPUS, VOLUME)
def test_everything_at_its_worst_fits_into_the_memory(memory: int, cpus: Decimal, volume: int) -> None:
    assert memory_use(tuned_parameters(memory, cpus, volume, {})) <= memory


@given(MEMORY, CPUS, VOLUME)
def test_postgresql_takes_every_value(memory: int, cpus: Decimal, volume: int) -> None:
    for name, value in tuned_parameters(memory, cpus, volume, {}).items():
        assert normal_value(name, value) == value


@given(MEMORY, VOLUME, st.integers(CONNECTIONS_MIN, 2000))
@example(memory=256 * MIB, volume=1024 * MIB, connections=35)  # vacuum's smallest share is more than a third
def test_more_connections_leave_less_for_each_or_are_refused(memory: int, volume: int, connections: int) -> None:
    usual = tuned_parameters(memory, Decimal(1), volume, {})
    try:
        parameters = tuned_parameters(memory, Decimal(1), volume, {"max_connections": connections})
    except ValueError as error:
        assert f"max_connections ({connections}" in str(error)  # noqa: PT017
        assert connections > int(usual["max_connections"])
    else:
        assert parameters["max_connections"] == connections
        assert memory_use(parameters) <= memory


@given(MEMORY, CPUS, VOLUME)
def test_wal_is_bounded_by_the_volume(memory: int, cpus: Decimal, volume: int) -> None:
    parameters = tuned_parameters(memory, cpus, volume, {})
    units = {"kB": 1024, "MB": MIB, "GB": GIB}
    sizes = {name: int(str(parameters[name])[:-2]) * units[str(parameters[name])[-2:]] for name in
             ("min_wal_size", "max_wal_size", "wal_keep_size", "max_slot_wal_keep_size")}  # fmt: skip
    assert sizes["min_wal_size"] <= sizes["max_wal_size"]
    assert sizes["max_wal_size"] + sizes["wal_keep_size"] + sizes["max_slot_wal_keep_size"] <= volume * 0.35


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ({"work_mem": "64MB"}, {"work_mem": "64MB"}),
        ({"jit": True}, {"jit": "on"}),
        ({"random_page_cost": 4}, {"random_page_cost": 4}),
        ({"shared_buffers": "100MB"}, {"shared_buffers": "100MB", "effective_cache_size": "768MB"}),
        ({"max_wal_size": 512}, {"max_wal_size": 512}),
    ],
)
def test_overrides_win(override: dict[str, Any], kept: dict[str, Any]) -> None:
    parameters = tuned_parameters(GIB, Decimal(1), 10 * GIB, override)
    assert {name: parameters[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("memory", "cpus", "volume", "overrides", "message"),
    [
        (255 * MIB, "1", GIB, {}, "memory is 255 MiB; at least 256 MiB"),
        (GIB, "0", GIB, {}, "the CPU is 0 cores"),
        (GIB, "1", 1000 * MIB, {}, "the volume has 1000 MiB; at least 1024 MiB"),
        (GIB, "1", GIB, {"shared_buffers": "1GB"}, "shared_buffers .1024 MiB.*do not fit into 1024 MiB"),
        (GIB, "1", GIB, {"max_connections": 900}, "max_connections .900, 2 MiB each.*do not fit"),
        (GIB, "1", GIB, {"work_mem": "much"}, "work_mem is 'much'"),
        (GIB, "1", GIB, {"fsync": False}, "fsync may not be set"),
    ],
)
def test_what_is_refused(memory: int, cpus: str, volume: int, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tuned_parameters(memory, Decimal(cpus), volume, overrides)


def test_only_known_parameters_are_computed() -> None:
    assert set(tuned_parameters(GIB, Decimal(1), GIB, {})) <= set(known())
