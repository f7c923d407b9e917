"""Every variable of roles/deployer, set wrongly: the error names it, its value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_deployer
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role, find_errors

ROLE = Path(__file__).resolve().parents[4] / "roles" / "deployer"
OPTIONS: dict[str, dict[str, Any]] = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())[
    "argument_specs"
]["main"]["options"]
DEPLOYER = Role("deployer", OPTIONS, frozenset(), rules_deployer.errors)
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
# Of another role, whose rules are looked at elsewhere.
RELEASE = Role("exchange_app", {"exchange_app_release": {"type": "str"}})


def errors(**changed: Any) -> list[str]:
    values = {**DEFAULTS, "exchange_app_release": "shop", **{f"deployer_{name}": v for name, v in changed.items()}}
    return find_errors([DEPLOYER, RELEASE], values, names=list(values))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"name": "ci"},
        {"kubeconfig": "/run/deployer"},
        {"kubeconfig": "~/.kube/deployer"},
        {"token_hours": 1},
        {"token_hours": 8760},
    ],
)
def test_good_values_pass(changed: dict[str, Any]) -> None:
    assert errors(**changed) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": ""}, "deployer_name is '': expected lower-case letters"),
        ({"name": "CI"}, "deployer_name is 'CI': expected lower-case letters"),
        ({"name": "shop"}, "deployer_name is 'shop': expected another name than exchange_app_release"),
        ({"kubeconfig": "deployer"}, "deployer_kubeconfig is 'deployer': expected an absolute path"),
        ({"token_hours": 0}, "deployer_token_hours is 0: expected 1 to 8760"),
        ({"token_hours": 8761}, "deployer_token_hours is 8761: expected 1 to 8760"),
        ({"token_hours": "a day"}, "deployer_token_hours is 'a day'"),
        ({"kubeconfg": "/x"}, "deployer_kubeconfg is not a variable of the role deployer; did you mean"),
    ],
)
def test_a_wrong_value_is_named(changed: dict[str, Any], said: str) -> None:
    [error] = errors(**changed)
    assert error.startswith(said)


def test_two_wrong_values_are_two_errors() -> None:
    assert len(errors(name="A", kubeconfig="x")) == len(["name", "kubeconfig"])
