"""A kubeconfig with the token of one ServiceAccount: what stands in it, and when it is written anew. Pure.

It is written as JSON, which is YAML as well.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


class ForeignFileError(Exception):
    """A file that this module didn't write is where a kubeconfig should go."""


@dataclass(frozen=True)
class Account:
    """A ServiceAccount and the cluster that it is of. `ca` is PEM; empty: the machine's own authorities."""

    host: str
    ca: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class Written:
    """What a kubeconfig holds: the account, and between which times its token is good."""

    account: Account
    since: datetime
    until: datetime


def compose(account: Account, token: str) -> str:
    """Return the text of a kubeconfig."""
    name = f"{account.name}@{account.namespace}"
    cluster: dict[str, str] = {"server": account.host}
    if account.ca:
        cluster["certificate-authority-data"] = base64.b64encode(account.ca.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": account.namespace}}],
        "current-context": name,
    }
    return json.dumps(config, indent=1) + "\n"


def claims(token: str) -> dict[str, Any]:
    """Return what a token says of itself. Nobody checks its signature here: the API server does."""
    payload = token.split(".")[1]
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return content


def read(text: str) -> Written:
    """Return what a kubeconfig of ours holds.

    Raises:
        ForeignFileError: it is none.
    """
    try:
        config = json.loads(text)
        [cluster], [user] = config["clusters"], config["users"]
        said = claims(user["user"]["token"])
        who = said["kubernetes.io"]
        account = Account(
            cluster["cluster"]["server"],
            base64.b64decode(cluster["cluster"].get("certificate-authority-data", "")).decode(),
            who["namespace"],
            who["serviceaccount"]["name"],
            who["serviceaccount"]["uid"],
        )
        return Written(account, datetime.fromtimestamp(said["iat"], UTC), datetime.fromtimestamp(said["exp"], UTC))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, binascii.Error) as error:
        raise ForeignFileError(str(error)) from error


def renewal_reason(text: str, wanted: Account, now: datetime) -> str:
    """Return why a kubeconfig has to be written anew; empty if it is good for longer than it has been.

    Args:
        text: of the file that is there; empty if there is none.
        wanted: whose token it should hold; its uid is empty as long as there is no such account.
        now: the time.

    Raises:
        ForeignFileError: the file was written by somebody else.
    """
    if not text:
        return "there is none yet"
    found = read(text)
    old = found.account
    if (old.namespace, old.name, old.uid) != (wanted.namespace, wanted.name, wanted.uid):
        return f"the token in it is of {old.namespace}/{old.name} with the UID {old.uid}"
    if old.host != wanted.host:
        return f"it names the API server {old.host}"
    if old.ca != wanted.ca:
        return "the API server's CA is another one"
    if now - found.since >= found.until - now:
        return f"half of its token's time is over, which ends at {found.until.isoformat()}"
    return ""
