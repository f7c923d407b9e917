"""The action preflight over all roles as they are: defaults computed, every error in one message."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.cryptoexchange.platform.plugins.action import preflight

PROJECT = Path(__file__).resolve().parents[4]
COMPONENTS = ["ingress_nginx", "postgres", "exchange_app"]
SET = {
    "platform_kubeconfig": "kubeconfig",
    "platform_cluster_uid": "0b1a",
    "platform_domain": "exchange.example.com",
    "platform_components": COMPONENTS,
}


@pytest.fixture(autouse=True)
def _no_ambient_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("K8S_AUTH_HOST", "K8S_AUTH_API_KEY", "K8S_AUTH_SSL_CA_CERT", "K8S_AUTH_VERIFY_SSL"):
        monkeypatch.delenv(name, raising=False)


def run(changed: dict[str, Any]) -> dict[str, Any]:
    """Run the action as a task does, with variables as an inventory sets them."""
    variables = {**SET, **changed}
    loader = DataLoader()
    action = preflight.ActionModule(
        task=SimpleNamespace(async_val=0, check_mode=False, args={}, action="preflight"),
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused")),
        play_context=None,
        loader=loader,
        templar=Templar(loader=loader, variables=variables),
        shared_loader_obj=None,
    )
    return action.run(None, variables)


def errors(changed: dict[str, Any]) -> list[str]:
    result = run(changed)
    assert result["failed"]
    head, *lines = result["msg"].splitlines()
    assert head == f"{len(lines)} to correct; nothing has been changed:"
    return [line.split(". ", 1)[1] for line in lines]


def test_good_variables_pass_and_nothing_is_changed() -> None:
    result = run({})
    assert result == {"changed": False, "msg": f"variables of platform, {', '.join(COMPONENTS)}: correct"}


@pytest.mark.parametrize("inventory", sorted(path.name for path in (PROJECT / "inventories").iterdir()))
def test_the_inventories_set_only_variables_that_there_are(inventory: str) -> None:
    variables: dict[str, Any] = {}
    for path in sorted((PROJECT / "inventories" / inventory / "group_vars").rglob("*.yml")):
        if path.name != "cluster.yml":
            variables |= yaml.safe_load(path.read_text()) or {}
    # Which cluster is meant is for whoever copies an inventory to say.
    assert "failed" not in run({**variables, **SET})


def test_errors_of_all_roles_come_at_once() -> None:
    found = errors(
        {
            "platform_domain": "a b",
            "postgres_replicas": "many",
            "ingress_nginx_replicsa": 3,
            "platform_cluster_uid": "",
        }
    )
    starts = ("platform_cluster_uid is ''", "ingress_nginx_replicsa is not a", "postgres_replicas is 'many'")
    assert all(any(error.startswith(start) for error in found) for start in starts), found
    # Rules wait until all types are right.
    assert errors({"platform_domain": "a b"})[0].startswith("platform_domain is 'a b'")


def test_a_variable_that_can_not_be_computed_is_named() -> None:
    [error] = errors({"platform_image_registry": trust_as_template("{{ no_such_mirror }}/x")})
    assert error.startswith("platform_image_registry can't be computed: ")
    assert "no_such_mirror" in error


@pytest.mark.parametrize("name", ["platform_database_name", "platform_database_mode", "platform_tls_mode"])
def test_a_shared_variable_of_a_wrong_type_is_one_error(name: str) -> None:
    [error] = errors({name: ["x"]})
    assert error.startswith(f'{name} is ["x"]: ')


def test_variables_of_roles_that_are_not_installed_are_left_alone() -> None:
    assert "failed" not in run({"platform_components": ["exchange_app"], "postgres_replicas": "many"})


@pytest.mark.parametrize("components", ["postgres", {"postgres": True}, None])
def test_components_that_are_no_list_are_refused(components: Any) -> None:
    result = run({"platform_components": components})
    assert result["failed"]
    assert result["msg"] == f"platform_components is {components!r}: expected a list of roles"


@pytest.mark.parametrize("component", ["postgress", "objects", "../roles/postgres"])
def test_a_component_that_there_is_not_is_refused(component: str) -> None:
    [error] = errors({"platform_components": ["postgres", component]})
    assert error.startswith('platform_components is ["postgres", ')
    assert "allowed: ingress_nginx, postgres, " in error


def test_the_environment_must_not_change_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_AUTH_HOST", "https://10.0.0.9:6443")
    monkeypatch.setenv("K8S_AUTH_API_KEY", "geheim")
    found = errors({})
    assert [error.split(" ")[0] for error in found] == ["K8S_AUTH_HOST", "K8S_AUTH_API_KEY"]
    assert "geheim" not in str(found)


def test_a_rules_file_that_can_not_be_imported_is_not_taken_for_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> Any:
        raise ModuleNotFoundError("No module named 'cryptography'", name="cryptography")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="cryptography"):
        run({})
