"""The variables of roles/exchange_app as preflight and the filters see them: shared by their tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import rules_exchange_app
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Role

ROLES = Path(__file__).resolve().parents[4] / "roles"


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return a role's options by name."""
    spec = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())
    found: dict[str, dict[str, Any]] = spec["argument_specs"]["main"]["options"]
    return found


def computed_defaults(changed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the defaults of roles/platform and of this role, with nothing left to be templated; without monitoring.

    Args:
        changed: what the inventory sets.
    """
    defaults: dict[str, Any] = {}
    others: dict[str, Any] = {"platform_scrapers": []}
    for role in ("platform", "exchange_app"):
        defaults |= DataLoader().load_from_file(str(ROLES / role / "defaults" / "main.yml"), trusted_as_template=True)
    variables = {**defaults, **others, **(changed or {})}
    values: dict[str, Any] = Templar(loader=DataLoader(), variables=variables).template(defaults)
    return {**values, "platform_domain": "exchange.example.com"}


EXCHANGE_APP = Role("exchange_app", options("exchange_app"), frozenset(), rules_exchange_app.errors)
GOOD = computed_defaults()


def app(changed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return this role's variables, some of them changed."""
    own = {name: value for name, value in GOOD.items() if name.startswith("exchange_app_")}
    # Ansible's own types of text and numbers become Python's.
    return {**json.loads(json.dumps(own)), **(changed or {})}
