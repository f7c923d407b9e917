"""PostgreSQL's parameters from a container's memory and CPU and the size of its volume.

docs/database.md names the source of each formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_settings import normal_value, size_bytes
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# What Patroni, the postmaster and its helper processes take beside everything that is computed here.
RESERVED_BYTES = 112 * MIB
# An idle backend's own memory: catalogue caches and page tables.
BACKEND_BYTES = 2 * MIB
MIN_MEMORY_BYTES = 256 * MIB
MIN_VOLUME_BYTES = 1 * GIB
AUTOVACUUM_WORKERS = 3
CONNECTIONS_MIN, CONNECTIONS_MAX = 25, 200
HASH_MEM_MULTIPLIER = 2
# Connections for neither web pods nor poolers: migrations, workers, exporters, Patroni, and the superuser's own.
OTHER_CONNECTIONS = 10

Value = str | int | float


def role_parameters(values: Mapping[str, Any]) -> dict[str, Value]:
    """Return ``tuned_parameters`` of the variables of roles/postgres.

    Raises:
        ValueError: as ``tuned_parameters``.
    """
    return tuned_parameters(
        int(parse_quantity(values["postgres_memory_limit"])),
        parse_quantity(values["postgres_cpu_limit"] or values["postgres_cpu_request"]),
        int(parse_quantity(values["postgres_volume_size"])),
        values["postgres_parameters"],
    )


def tuned_parameters(
    memory_bytes: int, cpus: Decimal, volume_bytes: int, overrides: Mapping[str, object]
) -> dict[str, Value]:
    """Return the parameters that depend on the machine, with the overrides in their place.

    What an override takes is taken into account by the rest: with ``max_connections`` raised, ``work_mem`` shrinks.

    Args:
        memory_bytes: memory limit of the container.
        cpus: cores that the container may use.
        volume_bytes: size of the volume that holds data and WAL.
        overrides: parameters that win over the computed ones; protected and unknown ones are refused.

    Raises:
        ValueError: an input is too small, or what the overrides ask for doesn't fit into the memory.
    """
    if memory_bytes < MIN_MEMORY_BYTES:
        raise ValueError(f"memory is {memory_bytes // MIB} MiB; at least {MIN_MEMORY_BYTES // MIB} MiB is needed")
    if volume_bytes < MIN_VOLUME_BYTES:
        raise ValueError(f"the volume has {volume_bytes // MIB} MiB; at least {MIN_VOLUME_BYTES // MIB} MiB is needed")
    if cpus <= 0:
        raise ValueError(f"the CPU is {cpus} cores; more than 0 are needed")
    chosen = {name: _named(name, value) for name, value in overrides.items()}
    return {**_memory(memory_bytes, chosen), **_processors(cpus), **_disk(volume_bytes), **chosen}


def _named(name: str, value: object) -> Value:
    try:
        return normal_value(name, value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def _memory(memory: int, chosen: Mapping[str, Value]) -> dict[str, Value]:
    """Share out the memory so that the sum of everything at its worst fits (see ``memory_use``)."""
    shared_buffers = size_bytes("shared_buffers", chosen.get("shared_buffers", f"{memory // 4 // MIB}MB"))
    workers = int(chosen.get("autovacuum_max_workers", AUTOVACUUM_WORKERS))
    free = memory - RESERVED_BYTES - shared_buffers
    connections = int(
        chosen.get("max_connections", min(max(free // 4 // BACKEND_BYTES, CONNECTIONS_MIN), CONNECTIONS_MAX))
    )
    free -= connections * BACKEND_BYTES
    maintenance = max(min(free // 3 // (workers + 1), GIB), MIB)
    work = min(free * 2 // 3, free - maintenance * (workers + 1)) // connections // HASH_MEM_MULTIPLIER
    if work < 64 * KIB:
        raise ValueError(
            f"shared_buffers ({shared_buffers // MIB} MiB) and max_connections ({connections}, "
            f"{BACKEND_BYTES // MIB} MiB each) do not fit into {memory // MIB} MiB of memory beside the "
            f"{RESERVED_BYTES // MIB} MiB of the server itself; "
            "raise the memory limit or lower them"
        )
    return {
        "shared_buffers": _size(shared_buffers),
        "effective_cache_size": _size(memory * 3 // 4),
        "max_connections": connections,
        "work_mem": _size(work),
        "maintenance_work_mem": _size(maintenance),
        "autovacuum_work_mem": _size(maintenance),
        "autovacuum_max_workers": workers,
    }


def memory_use(parameters: Mapping[str, Value]) -> int:
    """Return the bytes in use when every connection sorts or hashes and every vacuum worker is busy."""
    connections = int(parameters["max_connections"])
    return (
        RESERVED_BYTES
        + size_bytes("shared_buffers", parameters["shared_buffers"])
        + connections * (BACKEND_BYTES + HASH_MEM_MULTIPLIER * size_bytes("work_mem", parameters["work_mem"]))
        + size_bytes("maintenance_work_mem", parameters["maintenance_work_mem"])
        + int(parameters["autovacuum_max_workers"])
        * size_bytes("autovacuum_work_mem", parameters["autovacuum_work_mem"])
    )


def _processors(cpus: Decimal) -> dict[str, Value]:
    cores = math.ceil(cpus)
    per_query = min(cores // 2, 4)
    return {
        "max_worker_processes": max(8, cores + 4),
        "max_parallel_workers": cores,
        "max_parallel_workers_per_gather": per_query,
        "max_parallel_maintenance_workers": per_query,
    }


def _disk(volume: int) -> dict[str, Value]:
    """Bound WAL by the volume: checkpoints at a tenth, a lagging member's slot at a fifth."""
    max_wal_size = min(volume // 10, 8 * GIB)
    return {
        "max_wal_size": _size(max_wal_size // MIB * MIB),
        "min_wal_size": _size(max(max_wal_size // 4, 32 * MIB) // MIB * MIB),
        "wal_keep_size": _size(min(max(volume // 40, 16 * MIB), 512 * MIB) // MIB * MIB),
        "max_slot_wal_keep_size": _size(volume // 5 // MIB * MIB),
    }


def _size(size: int) -> str:
    """Return bytes in the largest unit that PostgreSQL knows and that divides them, down to kB (rounded down)."""
    kib = size // KIB
    if kib and kib % (KIB * KIB) == 0:
        return f"{kib // KIB // KIB}GB"
    if kib and kib % KIB == 0:
        return f"{kib // KIB}MB"
    return f"{kib}kB"
