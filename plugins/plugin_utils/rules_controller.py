"""Rules across the variables of roles/controller."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks, surveys
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import HIDDEN

_INSECURE = re.compile(r"insecure-skip-tls-verify[\"']?\s*:\s*[\"']?(true|yes|on|y)\b", re.IGNORECASE)
_SCM = re.compile(r"(https://|ssh://|git@)\S+")
_CA = "-----BEGIN CERTIFICATE-----"
Problem = tuple[str, Any, str]


def problems(asked: Mapping[str, Any], inventories: Sequence[str], options: surveys.Options) -> list[str]:
    """Return what is wrong, a line for each variable: its name, its value (hidden if it is secret), what is expected.

    Args:
        asked: the role's variables, without ``controller_`` before their names.
        inventories: the folders that there are below inventories/, if that can be seen.
        options: every option of every role, by name.
    """
    found = [*_of_awx(asked)]
    for index, environment in enumerate(asked["environments"]):
        path = f"environments[{index}]"
        if environment["name"] in [one["name"] for one in asked["environments"][:index]]:
            found.append((f"{path}.name", environment["name"], "expected each name once"))
        found += [(f"{path}.{key}", value, said) for key, value, said in _of_environment(environment, inventories)]
        found += [(f"{path}.{key}", value, said) for key, value, said in _of_secrets(environment, options)]
    return [f"controller_{name} is {value if value == HIDDEN else repr(value)}: {said}" for name, value, said in found]


def _of_awx(asked: Mapping[str, Any]) -> Iterator[Problem]:
    image = str(asked["execution_environment_image"])
    if checks.https_url(str(asked["host"])):
        yield "host", asked["host"], "expected AWX's address, such as https://awx.example.com"
    if not asked["token"]:
        yield "token", "", "expected a token of AWX, for example in CONTROLLER_OAUTH_TOKEN"
    if not asked["name"]:
        yield "name", "", "expected the beginning of the names in AWX"
    if not _SCM.fullmatch(str(asked["scm_url"])):
        yield "scm_url", asked["scm_url"], "expected where this project is: https://, ssh:// or git@"
    if not asked["scm_branch"]:
        yield "scm_branch", "", "expected a branch or a tag"
    if not asked["galaxy_credentials"]:
        yield "galaxy_credentials", [], "expected one at least, since without it AWX skips collections/requirements.yml"
    if problem := _of_image(image):
        yield "execution_environment_image", image, problem
    if int(asked["approval_timeout_seconds"]) < 0:
        yield "approval_timeout_seconds", asked["approval_timeout_seconds"], "expected 0 or more"
    if not asked["environments"]:
        yield (
            "environments",
            [],
            "expected one at least, such as [{name: prod, api_host: ..., api_token: ..., api_ca: ...}]",
        )


def _of_image(image: str) -> str:
    """Return what is wrong with an image's reference."""
    name, _, digest = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    return checks.image(*((repository, tag) if colon and "/" not in tag else (name, "")), digest)


def _of_environment(environment: Mapping[str, Any], inventories: Sequence[str]) -> Iterator[Problem]:
    if inventories and environment["name"] not in inventories:
        yield "name", environment["name"], f"expected a folder of inventories/: {', '.join(inventories)}"
    by_token = [environment.get(key) or "" for key in ("api_host", "api_token", "api_ca")]
    ways = [any(by_token), bool(environment.get("kubeconfig")), bool(environment.get("credential"))]
    if sum(ways) != 1:
        yield "name", environment["name"], "expected one of: api_host with api_token and api_ca; kubeconfig; credential"
        return
    host, token, ca = by_token
    if ways[0]:
        if problem := checks.https_url(host):
            yield "api_host", host, problem
        if not token:
            yield "api_token", "", "expected a bearer token"
        if _CA not in ca or "PRIVATE KEY" in ca:
            said = "expected the certificate of the API's CA in PEM, without a key: nothing is sent to a cluster that "
            yield "api_ca", HIDDEN if "PRIVATE KEY" in ca else ca, f"{said}nobody vouches for"
    if _INSECURE.search(environment.get("kubeconfig") or ""):
        yield "kubeconfig", HIDDEN, "expected one without insecure-skip-tls-verify: TLS verification must stay on"


def _of_secrets(environment: Mapping[str, Any], options: surveys.Options) -> Iterator[Problem]:
    known = surveys.secret_names(options)
    for name, value in (environment.get("secrets") or {}).items():
        if name not in known:
            yield f"secrets.{name}", HIDDEN, f"expected a secret variable of a role: {', '.join(known)}"
        elif not isinstance(value, str) or not value:
            yield f"secrets.{name}", HIDDEN, "expected a text; leave out what the inventory has"
