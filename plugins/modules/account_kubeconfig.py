#!/usr/bin/python
"""Module account_kubeconfig: write a kubeconfig with a token of a ServiceAccount, which ends."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_kubeconfig
short_description: Write a kubeconfig with a token of a ServiceAccount
description:
  - Asks the API for a token that ends (TokenRequest), and writes it with the connection's address and CA into a file
    that its owner alone can read.
  - Leaves the file alone while the token in it is of the same account and less than half of its time is over.
  - Never writes over a file that it did not write. Returns no token.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
options:
  path:
    description: Where the file goes, on the machine where the module runs.
    type: path
    required: true
  name:
    description: The ServiceAccount.
    type: str
    required: true
  namespace:
    description: Its namespace, which becomes the context's.
    type: str
    required: true
  token_hours:
    description: How long the token shall be good, in hours. The API server may give less.
    type: int
    required: true
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
- name: Write it
  cryptoexchange.platform.account_kubeconfig:
    path: ~/.kube/deployer
    name: deployer
    namespace: exchange
    token_hours: 720
"""

RETURN = r"""
reason:
  description: Why it was written, or would be in check mode; empty if there was nothing to do.
  type: str
  returned: success
until:
  description: When the token ends; empty if there is none yet.
  type: str
  returned: success
"""

import contextlib
import copy
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleK8SModule says what to install
    from kubernetes.dynamic.exceptions import DynamicApiError, NotFoundError

from ansible_collections.cryptoexchange.platform.plugins.module_utils import account_file
from ansible_collections.kubernetes.core.plugins.module_utils.ansiblemodule import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def ask(client: Any, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the API answers to a request."""
    answer: dict[str, Any] = json.loads(client.request(method, path, body=body, serialize=False).data)
    return answer


def look(client: Any, configuration: Any, path: str, parameters: dict[str, Any]) -> account_file.Account:
    """Return the account as the cluster knows it; without a UID if it isn't there."""
    try:
        uid = ask(client, "GET", path)["metadata"]["uid"]
    except NotFoundError:
        uid = ""
    authority = Path(configuration.ssl_ca_cert).read_text() if configuration.ssl_ca_cert else ""
    return account_file.Account(configuration.host, authority, parameters["namespace"], parameters["name"], uid)


def issue(client: Any, path: str, hours: int) -> dict[str, Any]:
    """Return the status of a TokenRequest: the token, and when it ends."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": hours * 3600},
    }
    status: dict[str, Any] = ask(client, "POST", f"{path}/token", request)["status"]
    return status


def write(path: Path, text: str) -> None:
    """Put a text in a file's place at once, for its owner's eyes alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600 from the start
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(path)


def main() -> None:
    """Run the module."""
    spec = copy.deepcopy(AUTH_ARG_SPEC)
    spec.update(
        path={"type": "path", "required": True},
        name={"type": "str", "required": True},
        namespace={"type": "str", "required": True},
        token_hours={"type": "int", "required": True, "no_log": False},
    )
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=spec, supports_check_mode=True)
    file, name, namespace = (module.params[key] for key in ("path", "name", "namespace"))
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
    try:
        api = get_api_client(module)
        account = look(api.client, api.configuration, path, module.params)
        before = Path(file).read_text() if Path(file).exists() else ""
        reason = account_file.renewal_reason(before, account, datetime.now(UTC))
        if not reason:
            module.exit_json(changed=False, reason="", until=account_file.read(before).until.isoformat())
        if module.check_mode:
            module.exit_json(changed=True, reason=reason, until="")
        issued = issue(api.client, path, module.params["token_hours"])
        write(Path(file), account_file.compose(account, issued["token"]))
    except account_file.ForeignFileError as error:
        module.fail_json(
            msg=f"{file} is no kubeconfig that this module wrote ({error}), and is left alone: name another file"
        )
    except DynamicApiError as error:
        module.fail_json(msg=f"the account {namespace}/{name} gets no token: {error.status} {error.reason}")
    module.exit_json(changed=True, reason=reason, until=issued["expirationTimestamp"])


if __name__ == "__main__":
    main()
