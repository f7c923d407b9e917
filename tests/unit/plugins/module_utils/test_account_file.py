"""The deployer's kubeconfig: what stands in it, and when it is written anew."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.module_utils import account_file
from ansible_collections.cryptoexchange.platform.plugins.module_utils.account_file import Account, ForeignFileError

ACCOUNT = Account("https://10.0.0.1:6443", "-----BEGIN CERTIFICATE-----\n", "exchange", "deployer", "0b1a")
ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 720


def token(account: Account = ACCOUNT, **changed: Any) -> str:
    """Return a token as the API server issues it, with a signature that nobody can check."""
    who = {"namespace": account.namespace, "serviceaccount": {"name": account.name, "uid": account.uid}}
    said = {
        "iat": int(ISSUED.timestamp()),
        "exp": int((ISSUED + timedelta(hours=HOURS)).timestamp()),
        "kubernetes.io": who,
        **changed,
    }
    parts = [json.dumps({"alg": "RS256"}), json.dumps(said), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


GOOD = account_file.compose(ACCOUNT, token())


def test_it_is_yaml_that_names_the_namespace_and_verifies_the_server() -> None:
    config = yaml.safe_load(GOOD)
    [cluster], [user], [context] = config["clusters"], config["users"], config["contexts"]
    assert config["current-context"] == context["name"]
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"], "namespace": "exchange"}
    assert cluster["cluster"]["server"] == ACCOUNT.host
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode() == ACCOUNT.ca
    assert list(user["user"]) == ["token"]


def test_without_a_ca_of_its_own_the_machine_s_authorities_count() -> None:
    [cluster] = yaml.safe_load(account_file.compose(replace(ACCOUNT, ca=""), token()))["clusters"]
    assert cluster["cluster"] == {"server": ACCOUNT.host}


def test_what_is_written_is_read_again() -> None:
    assert account_file.read(GOOD) == account_file.Written(ACCOUNT, ISSUED, ISSUED + timedelta(hours=HOURS))


@pytest.mark.parametrize(
    ("text", "wanted", "hours", "reason"),
    [
        (GOOD, ACCOUNT, 0, ""),
        (GOOD, ACCOUNT, 359, ""),
        (GOOD, ACCOUNT, 360, "half of its token's time is over, which ends at 2026-01-31T00:00:00+00:00"),
        (GOOD, ACCOUNT, 9000, "half of its token's time is over, which ends at 2026-01-31T00:00:00+00:00"),
        ("", ACCOUNT, 0, "there is none yet"),
        (GOOD, replace(ACCOUNT, uid="other"), 0, "the token in it is of exchange/deployer with the UID 0b1a"),
        (GOOD, replace(ACCOUNT, uid=""), 0, "the token in it is of exchange/deployer with the UID 0b1a"),
        (GOOD, replace(ACCOUNT, name="ci"), 0, "the token in it is of exchange/deployer with the UID 0b1a"),
        (GOOD, replace(ACCOUNT, namespace="shop"), 0, "the token in it is of exchange/deployer with the UID 0b1a"),
        (GOOD, replace(ACCOUNT, host="https://a"), 0, "it names the API server https://10.0.0.1:6443"),
        (GOOD, replace(ACCOUNT, ca="new"), 0, "the API server's CA is another one"),
    ],
)
def test_when_it_is_written_anew(text: str, wanted: Account, hours: int, reason: str) -> None:
    assert account_file.renewal_reason(text, wanted, ISSUED + timedelta(hours=hours)) == reason


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Config\n",
        "{}",
        "[]",
        "a note",
        json.dumps({"clusters": [], "users": []}),
        account_file.compose(ACCOUNT, "no-token"),
        account_file.compose(ACCOUNT, token(**{"kubernetes.io": "none"})),
        json.dumps({"clusters": [{"cluster": {"server": "x"}}], "users": [{"user": {"client-key-data": "y"}}]}),
    ],
)
def test_a_file_of_somebody_else_is_left_alone(text: str) -> None:
    with pytest.raises(ForeignFileError):
        account_file.renewal_reason(text, ACCOUNT, ISSUED)
