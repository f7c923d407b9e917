"""Every variable of roles/platform, set wrongly: the error names it, its value and what is allowed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_platform
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors
from unit.plugins.plugin_utils.pem import pair

ROLE = Path(__file__).resolve().parents[4] / "roles" / "platform"
OPTIONS: dict[str, dict[str, Any]] = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())[
    "argument_specs"
]["main"]["options"]
VARS = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
PLATFORM = Role("platform", OPTIONS, frozenset(VARS), rules_platform.errors)
DOMAIN = "exchange.example.com"
DIGEST = "sha256:" + "0123456789abcdef" * 4
LONG = "a" * 64
EXTERNAL = {
    "platform_database_mode": "external",
    "platform_database_user": "exchange",
    "platform_database_password": "geheim",
    "platform_database_ca": "-----BEGIN CERTIFICATE-----",
}
PAIR, OTHER_PAIR = pair("web", [DOMAIN]), pair("web", [DOMAIN])
PROVIDED = {
    "platform_tls_mode": "provided",
    "platform_tls_certificate": PAIR.pem,
    "platform_tls_private_key": PAIR.key_pem(),
}


def computed_defaults() -> dict[str, Any]:
    defaults = DataLoader().load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True)
    values: dict[str, Any] = Templar(loader=DataLoader(), variables=defaults).template(defaults)
    return values


GOOD = {**computed_defaults(), "platform_domain": DOMAIN}


def errors(changed: Mapping[str, Any]) -> list[str]:
    values = {**copy.deepcopy(GOOD), **changed}
    return find_errors([PLATFORM], values, names=list(values))


def image(**changed: str) -> dict[str, Any]:
    images: dict[str, Any] = copy.deepcopy(GOOD["platform_images"])
    return {"platform_images": {**images, "postgres": {**images["postgres"], **changed}}}


def without(values: dict[str, str], name: str) -> dict[str, str]:
    return {**values, name: ""}


def test_the_defaults_with_a_domain_are_good() -> None:
    assert errors({}) == []


def test_every_variable_is_known() -> None:
    assert set(GOOD) <= set(OPTIONS)
    assert errors(dict.fromkeys(VARS, "computed by the role")) == []


def test_a_missing_variable_is_one_error() -> None:
    values = {name: value for name, value in GOOD.items() if name != "platform_domain"}
    assert find_errors([PLATFORM], values, names=list(values)) == ["platform_domain is not set; expected str"]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_wrong_type_is_named(name: str) -> None:
    kind = OPTIONS[name].get("type", "str")
    wrong = {"str": ["x"], "int": "many", "bool": "perhaps", "list": "a,b", "dict": "a=b"}[kind]
    [error] = errors({name: wrong})
    value = "(hidden)" if OPTIONS[name].get("no_log") else ('["x"]' if kind == "str" else repr(wrong))
    assert error.startswith(f"{name} is {value}: ")
    choices = OPTIONS[name].get("choices")
    assert ("allowed: " + ", ".join(choices) if choices and kind == "str" else "expected " + kind) in error or (
        name == "platform_components" and "allowed: ingress_nginx, postgres, " in error
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_a_misspelt_name_is_named_with_the_right_one(name: str) -> None:
    # As fingers do it: two neighbouring letters swapped, after the prefix.
    head, tail = name[: len("platform_")], name[len("platform_") :]
    misspelt = head + tail[1] + tail[0] + tail[2:]
    [error] = errors({misspelt: "x"})
    assert error == f"{misspelt} is not a variable of the role platform; did you mean {name}?"


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.get("choices")])
def test_a_choice_that_there_is_not_is_named_with_those_there_are(name: str) -> None:
    value: Any = ["nonesuch"] if OPTIONS[name]["type"] == "list" else "nonesuch"
    [error] = errors({name: value})
    assert error.startswith(f"{name} is ")
    assert "nonesuch" in error
    assert f"allowed: {', '.join(OPTIONS[name]['choices'])}" in error


@pytest.mark.parametrize(
    ("changed", "name", "value", "allowed"),
    [
        ({"platform_domain": ""}, "platform_domain", "''", "a host name such as"),
        ({"platform_domain": "exchange example.com"}, "platform_domain", "'exchange example.com'", "a host name"),
        ({"platform_domain": "https://a.example"}, "platform_domain", "'https://a.example'", "a host name"),
        ({"platform_domain": "Exchange.example"}, "platform_domain", "'Exchange.example'", "a host name"),
        ({"platform_domain": "*.example.com"}, "platform_domain", "'*.example.com'", "a host name"),
        ({"platform_domain": "a..example"}, "platform_domain", "'a..example'", "a host name"),
        ({"platform_domain": "a.example\n"}, "platform_domain", r"'a.example\n'", "a host name"),
        ({"platform_domain": ".".join(["a" * 60] * 5)}, "platform_domain", "'aaa", "a host name"),
        ({"platform_instance": "My Exchange"}, "platform_instance", "'My Exchange'", "at most 63 characters"),
        ({"platform_instance": LONG}, "platform_instance", f"'{LONG}'", "at most 63 characters"),
        ({"platform_namespace_system": "1_a"}, "platform_namespace_system", "'1_a'", "lower-case letters"),
        ({"platform_namespace_ingress": "a.b"}, "platform_namespace_ingress", "'a.b'", "lower-case letters"),
        ({"platform_namespace_database": "-a"}, "platform_namespace_database", "'-a'", "lower-case letters"),
        ({"platform_namespace_app": ""}, "platform_namespace_app", "''", "lower-case letters"),
        ({"platform_namespace_app": "exchange-database"}, "platform_namespace_*", "[", "8 different namespaces"),
        ({"platform_namespace_metrics": "A_b"}, "platform_namespace_metrics", "'A_b'", "lower-case letters"),
        ({"platform_ingress_class": "NGINX"}, "platform_ingress_class", "'NGINX'", "lower-case letters"),
        ({"platform_storage_class": "Fast Disk"}, "platform_storage_class", "'Fast Disk'", "lower-case letters"),
        ({"platform_image_pull_secret": "a_b"}, "platform_image_pull_secret", "'a_b'", "lower-case letters"),
        ({"platform_tls_issuer_name": "a b"}, "platform_tls_issuer_name", "'a b'", "lower-case letters"),
        ({"platform_image_registry": "https://a"}, "platform_image_registry", "'https://a'", "a registry and a path"),
        ({"platform_image_registry": "a b/c"}, "platform_image_registry", "'a b/c'", "a registry and a path"),
        ({"platform_field_manager": ""}, "platform_field_manager", "''", "1 to 128 characters"),
        ({"platform_field_manager": "a" * 129}, "platform_field_manager", "'aaa", "1 to 128 characters"),
        ({"platform_database_name": ""}, "platform_database_name", "''", "a database's name"),
        ({"platform_database_host": "db example"}, "platform_database_host", "'db example'", "an IP address"),
        ({"platform_database_host": "[::1]"}, "platform_database_host", "'[::1]'", "an IP address"),
        ({"platform_database_port": 0}, "platform_database_port", "0", "expected 1 to 65535"),
        ({"platform_database_port": 70000}, "platform_database_port", "70000", "expected 1 to 65535"),
        ({"platform_database_port": "70000"}, "platform_database_port", "70000", "expected 1 to 65535"),
        ({"platform_wait_timeout_seconds": 0}, "platform_wait_timeout_seconds", "0", "expected 10 to 7200"),
        ({"platform_wait_timeout_seconds": "10m"}, "platform_wait_timeout_seconds", "'10m'", "expected int"),
        ({"platform_wait_timeout_seconds": "1Gi"}, "platform_wait_timeout_seconds", "'1Gi'", "expected int"),
        (image(tag="latest"), "platform_images.postgres", "{", "latest moves; name a version"),
        (image(tag=""), "platform_images.postgres", "{", "a tag such as 1.2.3, or give a digest"),
        (image(tag="a b"), "platform_images.postgres", "{", "a tag such as 1.2.3"),
        (image(digest="sha256:abc"), "platform_images.postgres", "{", "sha256: and 64 hexadecimal digits"),
        (image(digest=DIGEST.upper()), "platform_images.postgres", "{", "sha256: and 64 hexadecimal digits"),
        (image(repository=""), "platform_images.postgres", "{", "a lower-case path such as"),
        (image(repository="ghcr.io/Example/x"), "platform_images.postgres", "{", "a lower-case path such as"),
        (image(repository="ghcr.io/x@sha256"), "platform_images.postgres", "{", "a lower-case path such as"),
        (image(tags="17"), "platform_images", "{", "tags"),
        ({"platform_images": {"postgres": {"repository": "a"}}}, "platform_images", "{", "exchange"),
        ({"platform_tls_mode": "cert_manager"}, "platform_tls_issuer_name", "''", "the issuer's name"),
        ({"platform_tls_mode": "provided", **without(PROVIDED, "platform_tls_certificate")},
         "platform_tls_certificate", "''", "expected PEM text, since platform_tls_mode is provided"),
        (without(PROVIDED, "platform_tls_private_key"),
         "platform_tls_private_key", "(hidden)", "expected PEM text, since platform_tls_mode is provided"),
        ({**PROVIDED, "platform_tls_private_key": OTHER_PAIR.key_pem()},
         "platform_tls_certificate", "'(PEM)'", "a certificate that belongs to platform_tls_private_key"),
        ({**PROVIDED, "platform_domain": "other.example.com"},
         "platform_tls_certificate", "'(PEM)'", "a certificate for platform_domain (other.example.com)"),
        (without(EXTERNAL, "platform_database_user"), "platform_database_user", "''", "is external"),
        (without(EXTERNAL, "platform_database_password"), "platform_database_password", "(hidden)", "is external"),
        (without(EXTERNAL, "platform_database_ca"), "platform_database_ca", "''", "is external"),
    ],
)  # fmt: skip
def test_an_impossible_value_is_named_with_what_is_allowed(
    changed: dict[str, Any], name: str, value: str, allowed: str
) -> None:
    [error] = errors(changed)
    assert error.startswith(f"{name} is {value}")
    assert allowed in error


@pytest.mark.parametrize(
    "changed",
    [
        EXTERNAL,
        {**without(EXTERNAL, "platform_database_ca"), "platform_database_sslmode": "require"},
        PROVIDED,
        {"platform_tls_mode": "cert_manager", "platform_tls_issuer_name": "letsencrypt"},
        {"platform_database_host": "10.0.0.5"},
        {"platform_database_host": "fd00::5"},
        {"platform_database_port": "6432"},
        {"platform_image_registry": "registry.example.com:5000/mirror/docker_hub/"},
        {"platform_storage_class": "fast.example.com", "platform_image_pull_secret": "mirror"},
        image(tag="", digest=DIGEST),
    ],
)
def test_possible_values_are_good(changed: dict[str, Any]) -> None:
    assert errors(changed) == []


def test_the_image_that_is_wrong_is_shown() -> None:
    [error] = errors(image(tag="latest"))
    assert '"tag": "latest"' in error


def test_several_errors_come_at_once() -> None:
    found = errors({**EXTERNAL, "platform_domain": "a b", "platform_database_user": "", "platform_database_ca": ""})
    assert [error.split(" is ")[0] for error in found] == [
        "platform_domain",
        "platform_database_user",
        "platform_database_ca",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"platform_database_password": {"value": "geheim"}},
        {"platform_api_token": ["geheim"]},
        {"platform_tls_private_key": ["geheim"]},
        {**EXTERNAL, "platform_database_user": "", "platform_domain": "a b"},
        {**PROVIDED, "platform_tls_private_key": "geheim"},
        {**PROVIDED, "platform_tls_private_key": OTHER_PAIR.key_pem()},
    ],
)
def test_secrets_are_never_shown(changed: dict[str, Any]) -> None:
    text = "\n".join(errors(changed))
    assert text
    assert "geheim" not in text
    assert "PRIVATE KEY--" not in text


CONNECTED = {
    "platform_kubeconfig": "kubeconfig",
    "platform_api_host": "",
    "platform_api_token": "",
    "platform_cluster_uid": "0b1a",
    "platform_cluster_api_host": "",
}
BY_HOST = {
    **CONNECTED,
    "platform_kubeconfig": "",
    "platform_api_host": "https://10.0.0.1:6443",
    "platform_api_token": "geheim",
}


@pytest.mark.parametrize(
    ("values", "ambient", "expected"),
    [
        (CONNECTED, {}, []),
        (BY_HOST, {}, []),
        (BY_HOST, {"K8S_AUTH_HOST": "https://10.0.0.1:6443", "K8S_AUTH_API_KEY": "geheim"}, []),
        (BY_HOST, {"K8S_AUTH_VERIFY_SSL": "true"}, []),
        ({**CONNECTED, "platform_kubeconfig": ""}, {}, ["platform_kubeconfig is '' and platform_api_host is ''"]),
        ({**BY_HOST, "platform_api_token": ""}, {}, ["platform_api_token is '': expected a bearer token"]),
        ({**BY_HOST, "platform_api_host": "10.0.0.1"}, {}, ["platform_api_host is '10.0.0.1': expected an address"]),
        ({**BY_HOST, "platform_api_host": "http://a"}, {}, ["platform_api_host is 'http://a': expected an address"]),
        ({**CONNECTED, "platform_cluster_uid": ""}, {}, ["platform_cluster_uid is '' and platform_cluster_api_host"]),
        (CONNECTED, {"K8S_AUTH_HOST": "https://b"}, ["K8S_AUTH_HOST is set in the environment"]),
        (CONNECTED, {"K8S_AUTH_API_KEY": "geheim"}, ["K8S_AUTH_API_KEY is set in the environment"]),
        (BY_HOST, {"K8S_AUTH_IMPERSONATE_USER": "geheim"}, ["K8S_AUTH_IMPERSONATE_USER is set"]),
        (CONNECTED, {"K8S_AUTH_VERIFY_SSL": "No"}, ["K8S_AUTH_VERIFY_SSL is 'No' in the environment: TLS"]),
        (CONNECTED, {"K8S_AUTH_VALIDATE_CERTS": "0"}, ["K8S_AUTH_VALIDATE_CERTS is '0' in the environment: TLS"]),
    ],
)
def test_it_is_certain_which_cluster_is_meant(
    values: dict[str, str], ambient: dict[str, str], expected: list[str]
) -> None:
    found = rules_platform.connection_errors(values, ambient)
    assert len(found) == len(expected), found
    assert all(error.startswith(start) for error, start in zip(found, expected, strict=True)), found
    assert "geheim" not in "\n".join(found)
