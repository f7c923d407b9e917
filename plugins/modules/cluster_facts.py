#!/usr/bin/python
"""Module cluster_facts: what preflight has to know of a cluster, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_facts
short_description: What preflight has to know of a cluster, in one call
description:
  - Reads the API's address and version, the namespaces, whether the account may do certain things, our Secrets and
    the lists of what we applied. Changes nothing.
  - Returns RV(problem) instead of failing when the API can't be reached or refuses, so that a task that hides Secrets
    can still say why.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
options:
  access:
    description: Questions to the API, each the C(resourceAttributes) of a SelfSubjectAccessReview.
    type: list
    elements: dict
    default: []
  label_selector:
    description: Which Secrets are ours.
    type: str
    required: true
  system_namespace:
    description: Namespace of the ConfigMaps that list what we applied.
    type: str
    required: true
  claims_namespace:
    description: Namespace whose volume claims are looked at; empty for none.
    type: str
    default: ""
author: The CryptoExchange platform authors
"""

EXAMPLES = r"""
- name: Look at the cluster
  cryptoexchange.platform.cluster_facts:
    label_selector: app.kubernetes.io/part-of=cryptoexchange
    system_namespace: exchange-platform
    access:
      - {verb: create, resource: namespaces}
  no_log: true
"""

RETURN = r"""
problem:
  description: Why the cluster can't be looked at; empty if it can.
  type: str
  returned: always
api_host:
  description: Address that the connection leads to.
  type: str
  returned: always
version:
  description: Version of the API server, such as v1.37.2.
  type: str
  returned: on success
api_groups:
  description: The groups that the API serves, such as metrics.k8s.io.
  type: list
  elements: str
  returned: on success
namespaces:
  description: Name to UID of every namespace.
  type: dict
  returned: on success
denied:
  description: Those of O(access) that the account may not do.
  type: list
  elements: dict
  returned: on success
secrets:
  description: Our Secrets, as the API returns them.
  type: list
  elements: dict
  returned: on success
applied:
  description: Our lists of applied objects (ConfigMaps), as the API returns them.
  type: list
  elements: dict
  returned: on success
claims:
  description: The volume claims in O(claims_namespace), as the API returns them.
  type: list
  elements: dict
  returned: on success
"""

import contextlib
import copy
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleK8SModule says what to install
    from kubernetes.client import ApisApi, VersionApi

from ansible_collections.kubernetes.core.plugins.module_utils.ansiblemodule import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def look(client: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what is asked for, from a connected dynamic client."""
    resources = client.resources
    namespaces = resources.get(api_version="v1", kind="Namespace").get().to_dict()["items"]
    review = resources.get(api_version="authorization.k8s.io/v1", kind="SelfSubjectAccessReview")
    denied = []
    for attributes in parameters["access"]:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        if not review.create(body=body).to_dict()["status"].get("allowed"):
            denied.append(attributes)
    found: dict[str, Any] = {"secrets": [], "applied": [], "claims": []}
    if not denied:
        secrets = resources.get(api_version="v1", kind="Secret")
        found["secrets"] = secrets.get(label_selector=parameters["label_selector"]).to_dict()["items"]
        lists = resources.get(api_version="v1", kind="ConfigMap")
        found["applied"] = lists.get(
            namespace=parameters["system_namespace"],
            label_selector=f"{parameters['label_selector']},app.kubernetes.io/component=applied-objects",
        ).to_dict()["items"]
        if parameters["claims_namespace"]:
            claims = resources.get(api_version="v1", kind="PersistentVolumeClaim")
            found["claims"] = claims.get(namespace=parameters["claims_namespace"]).to_dict()["items"]
    return {
        "version": VersionApi(client.client).get_code().git_version,
        "api_groups": sorted(group.name for group in ApisApi(client.client).get_api_versions().groups),
        "namespaces": {item["metadata"]["name"]: item["metadata"]["uid"] for item in namespaces},
        "denied": denied,
        **found,
    }


def main() -> None:
    """Run the module."""
    spec = copy.deepcopy(AUTH_ARG_SPEC)
    spec.update(
        access={"type": "list", "elements": "dict", "default": []},
        label_selector={"type": "str", "required": True},
        system_namespace={"type": "str", "required": True},
        claims_namespace={"type": "str", "default": ""},
    )
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=spec, supports_check_mode=True)
    host = module.params.get("host") or ""
    try:
        client = get_api_client(module)
        host = client.configuration.host
        found = look(client.client, module.params)
    except Exception as error:  # noqa: BLE001  # whatever goes wrong here is told, not raised: see DOCUMENTATION
        module.exit_json(changed=False, problem=f"{type(error).__name__}: {error}"[:600], api_host=host)
    module.exit_json(changed=False, problem="", api_host=host, **found)


if __name__ == "__main__":
    main()
