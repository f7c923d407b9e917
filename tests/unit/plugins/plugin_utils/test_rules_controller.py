"""What playbooks/controller.yml refuses before it asks AWX for anything."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_controller import problems

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
PROD = {"name": "prod", "api_host": "https://10.0.0.1:6443", "api_token": "t0ken", "api_ca": CA}
ASKED: dict[str, Any] = {
    "host": "https://awx.example.com",
    "token": "t0ken",
    "name": "exchange",
    "scm_url": "https://git.example.com/platform.git",
    "scm_branch": "main",
    "galaxy_credentials": ["Ansible Galaxy"],
    "execution_environment_image": "registry.example.com:5000/exchange-ee:0.1.0",
    "approval_timeout_seconds": 0,
    "environments": [PROD],
}
INVENTORIES = ["prod", "staging"]
OPTIONS: dict[str, Any] = {
    "app_password": {"no_log": True},
    "app_port": {"type": "int"},
    "app_list": {"type": "list", "no_log": True},
}


def of(environment: dict[str, Any]) -> list[str]:
    return problems({**ASKED, "environments": [environment]}, INVENTORIES, OPTIONS)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scm_url": "git@git.example.com:platform.git"},
        {"execution_environment_image": f"registry.example.com/ee@sha256:{'0' * 64}"},
        {"environments": [PROD, {"name": "staging", "kubeconfig": "clusters: []"}]},
        {"environments": [{"name": "prod", "credential": "made by hand"}]},
        {"environments": [{**PROD, "secrets": {"app_password": "hunter2"}}]},
    ],
)
def test_what_can_be_done(changes: dict[str, Any]) -> None:
    assert problems({**ASKED, **changes}, INVENTORIES, OPTIONS) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": "http://awx"}, "controller_host is 'http://awx': expected AWX's address"),
        ({"token": ""}, "controller_token is '': expected a token of AWX"),
        ({"name": ""}, "controller_name is ''"),
        ({"scm_url": "/home"}, "controller_scm_url is '/home': expected where this project is"),
        ({"scm_branch": ""}, "controller_scm_branch is ''"),
        ({"galaxy_credentials": []}, "controller_galaxy_credentials is []: expected one at least, since without it"),
        (
            {"execution_environment_image": "a/ee:latest"},
            "controller_execution_environment_image is 'a/ee:latest': tag",
        ),
        ({"execution_environment_image": "localhost:5000/ee"}, "tag: expected a tag"),
        ({"approval_timeout_seconds": -1}, "controller_approval_timeout_seconds is -1"),
        ({"environments": []}, "controller_environments is []: expected one at least"),
        ({"environments": [PROD, PROD]}, "controller_environments[1].name is 'prod': expected each name once"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], said: str) -> None:
    [line] = problems({**ASKED, **changes}, INVENTORIES, OPTIONS)
    assert said in line


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({**PROD, "name": "prd"}, "name is 'prd': expected a folder of inventories/: prod, staging"),
        ({"name": "prod"}, "expected one of: api_host with api_token and api_ca; kubeconfig; credential"),
        ({**PROD, "kubeconfig": "x"}, "expected one of"),
        ({**PROD, "api_host": "http://a"}, "api_host is 'http://a'"),
        ({**PROD, "api_token": ""}, "api_token is ''"),
        ({**PROD, "api_ca": ""}, "api_ca is ''"),
        ({**PROD, "api_ca": f"{CA}\n-----BEGIN PRIVATE KEY-----"}, "api_ca is (hidden)"),
        (
            {"name": "prod", "kubeconfig": "insecure-skip-tls-verify: true"},
            "kubeconfig is (hidden): expected one without",
        ),
        ({"name": "prod", "kubeconfig": '{"insecure-skip-tls-verify":true}'}, "TLS verification must stay on"),
        ({**PROD, "secrets": {"app_port": "1"}}, "secrets.app_port is (hidden): expected a secret variable of a role"),
        ({**PROD, "secrets": {"app_list": "1"}}, "secrets.app_list is (hidden)"),
        ({**PROD, "secrets": {"app_password": ""}}, "secrets.app_password is (hidden): expected a text"),
    ],
)
def test_what_is_refused_of_an_environment(environment: dict[str, Any], said: str) -> None:
    [line] = of(environment)
    assert line.startswith("controller_environments[0].")
    assert said in line
    assert "t0ken" not in line
