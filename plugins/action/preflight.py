"""Action preflight: check every variable of every enabled role in one go."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import preflight, rules_platform

COLLECTION = "ansible_collections.cryptoexchange.platform"
ROLES = Path(__file__).resolve().parents[2] / "roles"
# Components that are called otherwise than their role.
ROLE_OF = {"logging": "loki"}
# Facts that roles/platform sets while it runs.
FACTS = frozenset({"platform_secrets"})


class ActionModule(ActionBase):
    """Load defaults and argument specs of the enabled roles, compute their values, report all errors at once."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the checks; nothing is changed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        components = self._templar.template(variables["platform_components"])
        if not isinstance(components, list):
            return {**result, "failed": True, "msg": f"platform_components is {components!r}: expected a list of roles"}
        shared = self._role("platform")
        # Other names are an error of platform_components, which its choices find.
        choices = shared.options["platform_components"]["choices"]
        enabled = [ROLE_OF.get(name, name) for name in choices if name in components]
        names = ["platform", *enabled]
        roles = [shared, *(self._role(name) for name in enabled)]
        others = [path.name for path in ROLES.iterdir() if path.name not in names]
        values, not_computed = self._values(roles, names, variables)
        ambient = {name: value for name, value in os.environ.items() if name.startswith("K8S_AUTH_")}
        errors = rules_platform.connection_errors(values, ambient) + preflight.find_errors(
            roles, values, names=list(variables), other_prefixes=others, not_computed=not_computed
        )
        if errors:
            listed = "\n".join(f"  {number}. {error}" for number, error in enumerate(errors, 1))
            return {**result, "failed": True, "msg": f"{len(errors)} to correct; nothing has been changed:\n{listed}"}
        return {**result, "changed": False, "msg": f"variables of {', '.join(names)}: correct"}

    def _load(self, path: Path, *, trusted: bool) -> dict[str, Any]:
        if not path.exists():
            return {}
        return self._loader.load_from_file(str(path), trusted_as_template=trusted) or {}

    def _role(self, name: str) -> preflight.Role:
        specs = self._load(ROLES / name / "meta" / "argument_specs.yml", trusted=False)
        # Trusted though only names are taken: the loader keeps what it has read, and _values computes the same file.
        internal = frozenset(self._load(ROLES / name / "vars" / "main.yml", trusted=True)) | FACTS
        module = f"{COLLECTION}.plugins.plugin_utils.rules_{name}"
        try:
            rules = importlib.import_module(module).errors
        except ModuleNotFoundError as error:
            # A role may have no rules; but a library that its rules need must not be missing unnoticed.
            if error.name != module:
                raise
            rules = None
        return preflight.Role(name, specs["argument_specs"]["main"]["options"], internal, rules)

    def _values(
        self, roles: list[preflight.Role], names: list[str], variables: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the computed values of the roles' variables, and why some can't be computed."""
        everything: dict[str, Any] = {}
        for name in names:
            everything |= self._load(ROLES / name / "defaults" / "main.yml", trusted=True)
            everything |= self._load(ROLES / name / "vars" / "main.yml", trusted=True)
        everything |= variables
        templar = self._templar.copy_with_new_env(available_variables=everything)
        values: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for option in (option for role in roles for option in role.options if option in everything):
            try:
                values[option] = templar.template(everything[option])
            except AnsibleError as error:
                failed[option] = str(error)
        return values, failed
