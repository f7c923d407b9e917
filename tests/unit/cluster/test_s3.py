"""What an inventory is told of the S3 server in a kind cluster."""

from __future__ import annotations

from pathlib import Path

import pyrage
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_postgres, rules_postgres_backup
from cluster import s3
from cluster.kind import CLUSTERS

ROLES = Path(__file__).parents[3] / "roles"
DEFAULTS = ROLES / "postgres_backup" / "defaults" / "main.yml"
POSTGRES_DEFAULTS = ROLES / "postgres" / "defaults" / "main.yml"


def test_its_variables_are_what_the_role_takes() -> None:
    # What other roles say.
    others = {
        "platform_database_mode": "internal",
        "postgres_backup_secrets": ["exchange/exchange-secrets"],
        "postgres_backup_media": [],
        "postgres_backup_metrics_from": [],
        "postgres_backup_media_uid": 10001,
        "postgres_backup_media_gid": 10001,
    }
    values = {**yaml.safe_load(DEFAULTS.read_text()), **s3.variables(CLUSTERS["test"]), **others}
    assert rules_postgres_backup.errors(values) == []
    assert values["platform_components"][-1] == "postgres_backup"


def test_the_archive_is_one_that_the_role_takes() -> None:
    made = s3.variables(CLUSTERS["test"])
    values = {**yaml.safe_load(POSTGRES_DEFAULTS.read_text()), **made}
    assert rules_postgres.archive_errors({**values, "postgres_archive_target": made["kind_archive_target"]}) == []
    assert set(s3.EVERYBODYS_RIGHTS) == {*s3.RIGHTS, s3.ARCHIVE}


def test_keys_and_credentials_are_new_each_time() -> None:
    one, other = s3.variables(CLUSTERS["test"]), s3.variables(CLUSTERS["test"])
    for name in ("postgres_backup_drill_private_key", "postgres_backup_recipients"):
        assert one[name] != other[name]
    key = pyrage.x25519.Identity.from_str(one["postgres_backup_drill_private_key"])
    assert one["postgres_backup_recipients"] == [str(key.to_public())]
    credentials = one["postgres_backup_targets"][0]["credentials"]
    assert set(credentials) == set(s3.RIGHTS)
    assert len({user["secret_key"] for user in credentials.values()}) == len(s3.RIGHTS)


def test_whoever_puts_can_do_nothing_else() -> None:
    assert s3.RIGHTS["put"] == {"*": ["PutObject"]}
