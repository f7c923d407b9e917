"""Rules across the variables of roles/deployer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import Finding

# A year: what is stored in a CI system should not outlive the people who stored it.
LONGEST_HOURS = 8760


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with the account's name, the file and how long its token is good."""
    name, path = values["deployer_name"], values["deployer_kubeconfig"]
    # The chart's own account is called as the release is.
    taken = "expected another name than exchange_app_release" if name == values.get("exchange_app_release") else ""
    absolute = (
        "" if not path or path.startswith(("/", "~/")) else "expected an absolute path, or one that begins with ~/"
    )
    found = {
        "deployer_name": checks.dns_label(name) or taken,
        "deployer_kubeconfig": absolute,
        "deployer_token_hours": checks.between(values["deployer_token_hours"], 1, LONGEST_HOURS),
    }
    return [Finding(variable, values[variable], problem) for variable, problem in found.items() if problem]
