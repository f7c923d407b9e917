"""What backup jobs are told, and what becomes of the Secrets that a backup holds."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.backup_configuration import (
    configuration,
    returned_secrets,
)

STORED = {"shop.keys.SECRET_KEY": "old", "shop.keys.totp.key": "older", "shop.keys-2.OTHER": "x", "none": "..."}
NAMES = ["shop/keys"]
HELD = {"SECRET_KEY": "old", "totp.key": "older"}


def test_a_jobs_configuration_holds_neither_credentials_nor_the_ca() -> None:
    target = {"name": "offsite", "bucket": "b", "ca": "PEM", "credentials": {"put": {"secret_key": "geheim"}}}
    assert configuration(target, {"database": "shop"}) == {
        "database": "shop",
        "target": {"name": "offsite", "bucket": "b", "ca_file": "/etc/backup/ca.crt"},
    }


@pytest.mark.parametrize(
    ("present", "written"),
    [
        pytest.param({}, [("keys", HELD)], id="there is none"),
        pytest.param({"shop/keys": HELD}, [], id="the same"),
        pytest.param({"shop/keys": {**HELD, "later": "y"}}, [], id="the same and more"),
        pytest.param(
            {"shop/keys": {"SECRET_KEY": "new"}},
            [("keys-before-20260101t0300z", {"SECRET_KEY": "new"}), ("keys", HELD)],
            id="another, which is kept first",
        ),
    ],
)
def test_secrets_come_back_and_none_is_lost(
    present: dict[str, dict[str, str]], written: list[tuple[str, dict[str, str]]]
) -> None:
    found: list[dict[str, Any]] = returned_secrets(STORED, NAMES, present, "20260101t0300z")
    assert [(one["metadata"]["name"], one["stringData"]) for one in found] == written
    assert {one["metadata"]["namespace"] for one in found} <= {"shop"}


def test_a_secret_that_the_backup_lacks_is_left_alone() -> None:
    assert returned_secrets(STORED, ["shop/others"], {"shop/others": {"A": "b"}}, "now") == []
