"""Every variable of roles/postgres_backup, set wrongly: the error names it and what is allowed, and shows no key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_postgres_backup
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors
from exchange_backup.config import parse
from unit.templates.render import render, sets

ROLE = Path(__file__).parents[4] / "roles" / "postgres_backup"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
BACKUP = Role("postgres_backup", OPTIONS, frozenset(), rules_postgres_backup.errors)
PLATFORM = Role("platform", {"platform_database_mode": {"type": "str"}}, frozenset())
KEY = "age1" + "q" * 58
TARGET = {"name": "offsite", "bucket": "backups"}
GOOD: dict[str, Any] = {
    **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
    "platform_database_mode": "internal",
    "postgres_backup_secrets": ["exchange/exchange-secrets"],
    "postgres_backup_drill_storage_class": "",
    "postgres_backup_recipients": [KEY],
    "postgres_backup_drill_private_key": "AGE-SECRET-KEY-1NOBODY",
    "postgres_backup_targets": [TARGET],
}


def errors(changed: dict[str, Any]) -> list[str]:
    values = {**copy.deepcopy(GOOD), **{f"postgres_backup_{name}": value for name, value in changed.items()}}
    return find_errors([PLATFORM, BACKUP], values, names=list(values))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"schedule": "@hourly", "prune_schedule": ""},
        {"drill_schedule": "", "drill_private_key": ""},
        {"recipients": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA somebody@example.com", KEY]},
        {"tables": ["account", "public.account"]},
        {"targets": [TARGET, {**TARGET, "name": "second", "endpoint": "https://s3.example.com", "prefix": "a/b"}]},
        {"targets": [{**TARGET, "lock_mode": "COMPLIANCE", "lock_days": 30}]},
        {"retention": {"hourly": 0, "daily": 1, "weekly": 0, "monthly": 0, "yearly": 0}},
        {"to": [{"namespace": "s3"}], "ports": [7070]},
    ],
)
def test_allowed(changed: dict[str, Any]) -> None:
    assert errors(changed) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("schedule", "at night", "_schedule is 'at night': expected five cron fields"),
        ("schedule", "", "_schedule is '': expected five cron fields"),
        ("prune_schedule", "61 * * * *", "_prune_schedule is '61 * * * *': expected five cron fields"),
        ("drill_schedule", "weekly", "_drill_schedule is 'weekly': expected five cron fields"),
        ("drill_private_key", "", "_drill_private_key is (hidden): expected AGE-SECRET-KEY-"),
        ("drill_private_key", "my-real-key", "_drill_private_key is (hidden): expected AGE-SECRET-KEY-"),
        ("time_zone", "", "_time_zone is '': expected a name"),
        ("recipients", [], "_recipients is []: expected at least one"),
        ("recipients", [KEY, "AGE-SECRET-KEY-1MINE"], "_recipients[1] is '(hidden)': expected a public key"),
        ("recipients", KEY, "expected list of str"),
        ("tables", ["a.b.c"], "_tables[0] is 'a.b.c': expected a table"),
        ("tables", ['a"; DROP'], "expected a table"),
        ("secrets", ["exchange-secrets"], "_secrets[0] is 'exchange-secrets': expected NAMESPACE/NAME"),
        ("targets", [], "_targets is (hidden): expected at least one"),
        ("targets", [{"bucket": "b"}], "name"),
        ("targets", [{**TARGET, "bucket": ""}], "_targets[0].bucket is (hidden): expected the bucket's name"),
        ("targets", [TARGET, TARGET], "_targets[1].name is (hidden): expected a name of its own"),
        ("targets", [{**TARGET, "name": "Off"}], "expected a name of its own"),
        ("targets", [{**TARGET, "name": "o" * 41}], "expected a name of its own"),
        ("targets", [{**TARGET, "prefix": "/a"}], "_targets[0].prefix is (hidden): expected no slash"),
        ("targets", [{**TARGET, "endpoint": "s3.example.com"}], "expected an address such as https://"),
        ("targets", [{**TARGET, "kms_key": "k"}], "expected server_side_encryption aws:kms"),
        (
            "targets",
            [{**TARGET, "lock_mode": "GOVERNANCE"}],
            "_targets[0].lock_days is (hidden): expected days above 0",
        ),
        ("targets", [{**TARGET, "lock_days": 3}], "expected days above 0 with lock_mode, and 0 without"),
        ("targets", [{**TARGET, "lock_mode": "governance"}], "lock_mode"),
        ("targets", [{**TARGET, "bytes_per_second": -1}], "expected 0 or more"),
        (
            "targets",
            [{**TARGET, "buckte": "b"}],
            "wrong type or unknown key; expected list of dict with the keys bucket",
        ),
        ("targets", [{**TARGET, "credentials": {"put": {"access_key": "a"}}}], "wrong type or unknown key"),
        ("retention", {"daily": -1}, "expected counts, one above 0"),
        (
            "retention",
            dict.fromkeys(("hourly", "daily", "weekly", "monthly", "yearly"), 0),
            "expected counts, one above 0",
        ),
        ("retention", {"fortnightly": 1}, "fortnightly"),
        ("to", [{}], "_to[0]"),
        ("metrics_from", [{"cidr": "everywhere"}], "_metrics_from[0]"),
        ("ports", [0], "_ports[0] is 0: expected 1 to 65535"),
        ("starting_deadline_seconds", 1, "expected 10 to 86400"),
        ("deadline_seconds", 1, "expected 60 to 604800"),
        ("cpu_request", "much", "expected a Kubernetes quantity"),
        ("memory_request", "1Mi", "expected at least 64Mi"),
        ("memory_request", "1Gi", "expected at most postgres_backup_memory_limit, 256Mi"),
        ("memory_limit", "128Mi", "expected at least 192Mi"),
        ("drill_memory_limit", "256Mi", "expected at least 512Mi"),
        ("drill_volume_size", "1Mi", "expected at least 1Gi"),
        ("from_replica", "perhaps", "expected bool"),
        ("schedul", "@daily", "did you mean postgres_backup_schedule?"),
    ],
)
def test_refused(name: str, value: Any, said: str) -> None:
    found = errors({name: value})
    assert len(found) == 1
    assert said in found[0]
    assert "my-real-key" not in found[0]
    assert "1MINE" not in found[0]


def test_another_s_database_is_refused() -> None:
    values = {**copy.deepcopy(GOOD), "platform_database_mode": "external"}
    [error] = find_errors([PLATFORM, BACKUP], values, names=list(values))
    assert error.startswith("platform_database_mode is 'external': expected internal")


@pytest.mark.parametrize("chosen", sets("postgres_backup"))
def test_the_jobs_understand_their_configuration(chosen: str) -> None:
    found = [item for item in render("postgres_backup", chosen).objects if item["kind"] == "ConfigMap"]
    assert len(found) == 2 * len(sets("postgres_backup")[chosen]["postgres_backup_targets"])
    for item in found:
        config = parse(json.loads(item["data"]["config.json"]), item["metadata"]["name"])
        assert config.target.bucket in {"backups", "others"}
        assert bool(config.target.ca_file) == ("ca.crt" in item["data"])


def test_what_may_delete_and_what_may_read_is_not_beside_the_database() -> None:
    objects = render("postgres_backup", "maximal").objects
    beside = [item for item in objects if item["metadata"].get("namespace") == "second-database"]
    assert {item["metadata"]["name"] for item in beside if item["kind"] == "CronJob"} == {
        "backup-offsite",
        "backup-other",
    }
    words = json.dumps([item for item in beside if item["kind"] == "Secret"])
    names = {item["metadata"]["name"] for item in beside if item["kind"] == "Secret"}
    assert names == {"backup-folder", "backup-put-offsite"}
    assert "AGE-SECRET-KEY" not in words


def test_what_looks_after_backups_has_no_way_to_the_database() -> None:
    policies = [
        item
        for item in render("postgres_backup", "default").objects
        if item["kind"] == "NetworkPolicy" and item["metadata"]["namespace"] == "exchange-backup"
    ]
    assert {item["metadata"]["name"] for item in policies} == {"backup-keeper", "backup-exporter"}
    for item in policies:
        assert item["spec"]["egress"] == [
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
        ]
