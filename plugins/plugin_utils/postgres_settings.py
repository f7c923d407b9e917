"""What PostgreSQL 17 knows as a configuration parameter, and which values it takes.

postgres_settings.json beside this file is ``pg_settings`` of the project's own image, without the parameters that
can't be set (context ``internal``); docs/database.md has the query that makes it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

# Managed by the role or by Patroni, and why nobody else may set them.
PROTECTED: dict[str, str] = {
    **dict.fromkeys(
        [
            "cluster_name",
            "config_file",
            "data_directory",
            "external_pid_file",
            "hba_file",
            "hot_standby",
            "ident_file",
            "listen_addresses",
            "port",
            "primary_conninfo",
            "primary_slot_name",
            "promote_trigger_file",
            "recovery_target",
            "recovery_target_action",
            "recovery_target_inclusive",
            "recovery_target_lsn",
            "recovery_target_name",
            "recovery_target_time",
            "recovery_target_timeline",
            "recovery_target_xid",
            "recovery_min_apply_delay",
            "synchronized_standby_slots",
            "synchronous_standby_names",
            "unix_socket_directories",
            "wal_log_hints",
        ],
        "Patroni sets it",
    ),
    **dict.fromkeys(
        ["ssl", "ssl_ca_file", "ssl_cert_file", "ssl_crl_dir", "ssl_crl_file", "ssl_key_file", "password_encryption"],
        "clients must find TLS and scram",
    ),
    **dict.fromkeys(
        [
            "archive_cleanup_command",
            "archive_command",
            "archive_library",
            "archive_mode",
            "archive_timeout",
            "recovery_end_command",
            "restore_command",
        ],
        "archiving is set up by the role",
    ),
    **dict.fromkeys(
        ["log_destination", "logging_collector", "log_directory", "log_filename", "event_source", "syslog_facility"],
        "logs go to the container's output, where they are collected",
    ),
    **dict.fromkeys(["fsync", "full_page_writes", "zero_damaged_pages"], "without it a crash can lose the database"),
    **dict.fromkeys(["huge_pages"], "a container's huge pages are limited apart from its memory"),
    **dict.fromkeys(["allow_alter_system"], "the inventory is the one place for settings"),
}

# Where Patroni is stricter than PostgreSQL: it replaces a smaller value with its own default.
_STRICTER: dict[str, dict[str, Any]] = {
    "max_connections": {"min": 25},
    "max_locks_per_transaction": {"min": 32},
    "max_replication_slots": {"min": 4},
    "max_wal_senders": {"min": 3},
    "max_worker_processes": {"min": 2},
    "wal_keep_size": {"min": 16},
    "wal_level": {"choices": ["replica", "logical"]},
}

# Modules of the image that shared_preload_libraries may name.
PRELOADABLE = ("auto_explain", "pg_prewarm", "pg_stat_statements")

_MEMORY: dict[str, int] = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_TIME: dict[str, int] = {
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_NUMBER = re.compile(r"\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(?P<unit>[A-Za-z]*)\s*")
_BOOLEANS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


@cache
def known() -> dict[str, dict[str, Any]]:
    """Return the parameters by name: type, context, and where they apply unit, min, max and choices."""
    text = Path(__file__).with_name("postgres_settings.json").read_text(encoding="utf-8")
    settings: dict[str, dict[str, Any]] = json.loads(text)
    return {name: {**setting, **_STRICTER.get(name, {})} for name, setting in settings.items()}


def normal_value(name: str, value: object) -> str | int | float:
    """Return a value the way Patroni should write it; YAML's true and false become on and off.

    Raises:
        ValueError: PostgreSQL wouldn't take the value, or may not be told.
    """
    if name in PROTECTED:
        raise ValueError(f"may not be set: {PROTECTED[name]}")
    setting = known().get(name)
    if setting is None:
        near = difflib.get_close_matches(name, known(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"is no parameter of PostgreSQL 17 or its modules {', '.join(PRELOADABLE)}{hint}")
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"is {value!r}; expected a number, a text or a boolean")  # noqa: TRY004  (a value, not a type)
    kind = setting["type"]
    if kind == "bool":
        return _boolean(value)
    if kind == "enum":
        return _choice(value, setting["choices"])
    if kind in {"integer", "real"}:
        _check_range(value, setting)
        return value
    if name == "shared_preload_libraries":
        return _libraries(str(value))
    return "on" if value is True else "off" if value is False else value


def size_bytes(name: str, value: object) -> int:
    """Return the bytes that a memory parameter's value stands for; a bare number is in the parameter's own unit.

    Raises:
        ValueError: the value is no size.
    """
    return int(_in_base_units(value, known()[name]))


def restart_reasons(running: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, object]) -> list[str]:
    """Return the parameters that a running server can take over by a restart alone, as sentences.

    Args:
        running: ``pg_settings`` of context ``postmaster``: name -> ``value`` (in the parameter's own unit) and
            ``configured`` (it stands in the configuration file).
        wanted: parameters by name, as Patroni is told.
    """
    reasons = [
        f"{name} runs as {running[name]['value']}, wanted is {value}"
        for name, value in sorted(wanted.items())
        if name in running and not _same(running[name]["value"], value, known()[name])
    ]
    gone = [
        f"{name} runs as {setting['value']}, wanted is the default"
        for name, setting in sorted(running.items())
        if setting["configured"] and name not in wanted and name not in PROTECTED
    ]
    return reasons + gone


def _same(running: str, wanted: object, setting: Mapping[str, Any]) -> bool:
    if setting["type"] in {"integer", "real"}:
        own = _units(setting.get("unit"))[1]
        # PostgreSQL rounds what isn't a whole number of its units.
        return round(float(running)) == round(_in_base_units(wanted, setting) / own)
    return running == str(wanted)


def _boolean(value: object) -> str:
    word = str(value).lower()
    if word not in _BOOLEANS:
        raise ValueError(f"is {value!r}; allowed: on, off")
    return "on" if _BOOLEANS[word] else "off"


def _choice(value: object, choices: list[str]) -> str:
    word = "on" if value is True else "off" if value is False else str(value).lower()
    if word not in choices:
        raise ValueError(f"is {value!r}; allowed: {', '.join(choices)}")
    return word


def _libraries(value: str) -> str:
    named = [library.strip() for library in value.split(",") if library.strip()]
    unknown = [library for library in named if library not in PRELOADABLE]
    if unknown:
        raise ValueError(f"names {', '.join(unknown)}; the image has: {', '.join(PRELOADABLE)}")
    return ",".join(named)


def _units(unit: str | None) -> tuple[dict[str, int], int]:
    """Return the units that a parameter takes and the size of its own one; ``8kB`` counts pages of 8 KiB."""
    if unit is None:
        return {}, 1
    if unit in _TIME:
        return _TIME, _TIME[unit]
    match = re.fullmatch(r"(\d*)([A-Za-z]+)", unit)
    if match is None:
        raise ValueError(f"unit {unit!r} is not known")
    return _MEMORY, int(match[1] or 1) * _MEMORY[match[2]]


def _in_base_units(value: object, setting: Mapping[str, Any]) -> float:
    """Return a value in bytes, microseconds, or as it is if the parameter has no unit."""
    units, own = _units(setting.get("unit"))
    match = _NUMBER.fullmatch(str(value))
    if isinstance(value, bool) or match is None or (match["unit"] and match["unit"] not in units):
        with_unit = f" with one of the units {', '.join(units)}" if units else ""
        raise ValueError(f"is {value!r}; expected a number{with_unit}")
    return float(match["number"]) * (units[match["unit"]] if match["unit"] else own)


def _check_range(value: object, setting: Mapping[str, Any]) -> None:
    own = _units(setting.get("unit"))[1]
    number = _in_base_units(value, setting) / own
    if setting["type"] == "integer" and not setting.get("unit") and number != int(number):
        raise ValueError(f"is {value!r}; expected a whole number")
    low, high = setting["min"], setting["max"]
    if not low <= number <= high:
        unit = f" {setting['unit']}" if setting.get("unit") else ""
        raise ValueError(f"is {value!r}; allowed: {low} to {high}{unit}")
