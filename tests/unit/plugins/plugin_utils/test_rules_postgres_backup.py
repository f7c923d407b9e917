"""Every variable of roles/postgres_backup, set wrongly: the error names it and what is allowed, and shows no key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_postgres_backup
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors
from exchange_backup.config import parse
from unit.templates.render import load, render, sets

ROLE = Path(__file__).parents[4] / "roles" / "postgres_backup"
OPTIONS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
BACKUP = Role("postgres_backup", OPTIONS, frozenset(), rules_postgres_backup.errors)
PLATFORM = Role(
    "platform", {"platform_database_mode": {"type": "str"}, "platform_components": {"type": "list"}}, frozenset()
)
KEY = "age1" + "q" * 58
TARGET = {"name": "offsite", "bucket": "backups"}
MEDIA = {"name": "media", "claim": "exchange-media"}
GOOD: dict[str, Any] = {
    **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
    "platform_database_mode": "internal",
    "platform_components": ["postgres", "exchange_app", "postgres_backup"],
    "postgres_backup_metrics_from": [],
    "postgres_backup_media": [],
    "postgres_backup_media_uid": 10001,
    "postgres_backup_media_gid": 10001,
    "postgres_backup_secrets": ["exchange/exchange-secrets"],
    "postgres_backup_drill_storage_class": "",
    "postgres_backup_recipients": [KEY],
    "postgres_backup_drill_private_key": "AGE-SECRET-KEY-1NOBODY",
    "postgres_backup_targets": [TARGET],
}


# A bad value, or several, of every variable.
REFUSED: list[tuple[str, Any, str]] = [
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
    ("media_schedule", "", "_media_schedule is '': expected five cron fields"),
    ("media", [{"name": "media"}], "claim"),
    ("media", [{**MEDIA, "name": "Media"}], "_media[0].name is 'Media'"),
    ("media", [{**MEDIA, "name": "database"}], "_media[0].name is 'database': expected another name than database"),
    ("media", [MEDIA, MEDIA], "_media[1].name is 'media': expected each name once"),
    (
        "media",
        [{**MEDIA, "claim": "a/b"}],
        "_media[0].claim is 'a/b': expected the name of a PersistentVolumeClaim",
    ),
    ("media", [{**MEDIA, "path": "/x"}], "path"),
    ("media_uid", "root", "_media_uid is 'root'"),
    ("media_gid", "root", "_media_gid is 'root'"),
    ("prune_schedule", "at dawn", "_prune_schedule is 'at dawn': expected five cron fields"),
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
    ("schedul", "@daily", "did you mean postgres_backup_schedule?"),
    ("compression", "zip", "_compression is 'zip': expected none, gzip, lz4 or zstd"),
    ("compression", "zstd:1; rm", "expected none, gzip, lz4 or zstd"),
    ("from_replica", "perhaps", "expected bool"),
    ("identities", {"putt": {}}, "putt"),
    ("identities", {"put": "role"}, "_identities is"),
    ("drill_storage_class", ["fast"], "expected str"),
    ("targets", [{**TARGET, "ca": "-----BEGIN PRIVATE KEY-----"}], "expected a certificate, not a private key"),
    ("targets", [{**TARGET, "server_side_encryption": "aes"}], "expected nothing, or one of AES256, aws:kms"),
    ("targets", [{**TARGET, "path_style": "perhaps"}], "wrong type or unknown key"),
    ("targets", [{**TARGET, "lock_days": "many"}], "wrong type or unknown key"),
]


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
        {"media": [MEDIA, {**MEDIA, "name": "scans", "claim": "scans.of.2026", "pod_labels": {"app": "web"}}]},
    ],
)
def test_allowed(changed: dict[str, Any]) -> None:
    assert errors(changed) == []


def test_every_variable_has_a_bad_value() -> None:
    assert {f"postgres_backup_{name}" for name, _, _ in REFUSED} >= set(OPTIONS)


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_refused(name: str, value: Any, said: str) -> None:
    found = errors({name: value})
    assert len(found) == 1
    assert said in found[0]
    assert "my-real-key" not in found[0]
    assert "1MINE" not in found[0]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"platform_components": ["postgres", "postgres_backup"]}, "expected none unless exchange_app is in"),
        ({"postgres_backup_media_uid": 0}, "postgres_backup_media_uid is 0: expected a number above 0"),
        ({"postgres_backup_media_gid": 0}, "postgres_backup_media_gid is 0: expected a number above 0"),
    ],
)
def test_media_that_no_job_could_read(others: dict[str, Any], said: str) -> None:
    values = {**copy.deepcopy(GOOD), "postgres_backup_media": [MEDIA], **others}
    [error] = find_errors([PLATFORM, BACKUP], values, names=list(values))
    assert said in error


@pytest.mark.parametrize(
    ("claim", "mode", "refused"),
    [
        ("exchange-media", "ReadWriteOncePod", True),
        ("brought", "ReadWriteOncePod", True),
        ("other", "ReadWriteOncePod", False),
        ("exchange-media", "ReadWriteOnce", False),
    ],
)
def test_a_claim_that_the_application_has_for_itself(claim: str, mode: str, *, refused: bool) -> None:
    app = {"type": "pvc", "access_mode": mode, "claim": "brought" if claim == "brought" else ""}
    values = {
        **copy.deepcopy(GOOD),
        "postgres_backup_media": [{**MEDIA, "claim": claim}],
        "exchange_app_media": app,
        "exchange_app_release": "exchange",
    }
    found = [one.expected for one in rules_postgres_backup.media_errors(values)]
    assert bool(found) is refused
    assert all("exchange_app_media.access_mode is ReadWriteOncePod" in one for one in found)


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ({}, []),
        ({"exchange_app_media": {"type": "none"}}, []),
        ({"exchange_app_media": {"type": "s3", "bucket": "b"}}, []),
        (
            {"exchange_app_media": {"type": "pvc", "access_mode": "ReadWriteMany"}},
            [{"name": "media", "claim": "exchange-media", "pod_labels": {}}],
        ),
        (
            {"exchange_app_media": {"type": "pvc", "claim": "mine", "access_mode": "ReadWriteOnce"}},
            [{
                "name": "media", "claim": "mine",
                "pod_labels": {"app.kubernetes.io/name": "exchange", "app.kubernetes.io/component": "web"},
            }],
        ),
        (
            {"exchange_app_media": {"type": "pvc"}, "exchange_app_release": "shop"},
            [{"name": "media", "claim": "shop-media", "pod_labels": {}}],
        ),
    ],
)  # fmt: skip
def test_the_application_s_uploads_are_stored_unless_it_is_said_otherwise(
    app: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    defaults = load(ROLE / "defaults" / "main.yml")
    templar = Templar(DataLoader(), variables={**defaults, **app})
    assert templar.template(defaults["postgres_backup_media"]) == expected


def test_jobs_of_media_can_only_put_and_reach_the_bucket_alone() -> None:
    objects = [
        item for item in render("postgres_backup", "maximal").objects if item["metadata"]["namespace"] == "second"
    ]
    assert {item["metadata"]["name"] for item in objects if item["kind"] == "CronJob"} == {
        "media-offsite",
        "media-other",
    }
    assert {item["metadata"]["name"] for item in objects if item["kind"] == "Secret"} == {"backup-put-offsite"}
    words = json.dumps(objects)
    assert "the-reader-s-secret" not in words
    assert "AGE-SECRET-KEY" not in words
    (policy,) = [item for item in objects if item["kind"] == "NetworkPolicy"]
    assert [rule["ports"] for rule in policy["spec"]["egress"]] == [
        [{"port": 443, "protocol": "TCP"}, {"port": 7070, "protocol": "TCP"}]
    ]
    assert "ingress" not in policy["spec"]
    pod = next(item for item in objects if item["kind"] == "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    mounts = {one["mountPath"]: one.get("readOnly") for one in pod["containers"][0]["volumeMounts"]}
    assert mounts == {"/etc/backup": True, "/media/media": True, "/media/scans": True}
    (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"]["app.kubernetes.io/name"] == "second"
    assert pod["securityContext"]["runAsUser"] == 33


def test_another_s_database_is_refused() -> None:
    values = {**copy.deepcopy(GOOD), "platform_database_mode": "external"}
    [error] = find_errors([PLATFORM, BACKUP], values, names=list(values))
    assert error.startswith("platform_database_mode is 'external': expected internal")


@pytest.mark.parametrize("chosen", sets("postgres_backup"))
def test_the_jobs_understand_their_configuration(chosen: str) -> None:
    found = [item for item in render("postgres_backup", chosen).objects if item["kind"] == "ConfigMap"]
    media = sets("postgres_backup")[chosen].get("postgres_backup_media", [])
    # Beside the database, where backups are looked after, and beside the application if it has uploads.
    assert len(found) == (3 if media else 2) * len(sets("postgres_backup")[chosen]["postgres_backup_targets"])
    for item in found:
        config = parse(json.loads(item["data"]["config.json"]), item["metadata"]["name"])
        assert config.target.bucket in {"backups", "others"}
        assert config.target.name in {"offsite", "other"}
        assert config.media == {one["name"]: f"/media/{one['name']}" for one in media}
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
