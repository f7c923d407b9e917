"""Write the surveys of the job templates from the roles' argument specs: `make surveys`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "collections"))

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import surveys

FILES = PROJECT / "roles" / "controller" / "files"


def load(path: Path) -> Any:
    """Return a YAML file's content."""
    return yaml.safe_load(path.read_text())


def options() -> dict[str, Any]:
    """Return every option of every role, and of the playbooks that have their own."""
    specs = [
        load(path)["argument_specs"]["main"]["options"] for path in PROJECT.glob("roles/*/meta/argument_specs.yml")
    ]
    return {name: option for spec in specs for name, option in spec.items()} | load(FILES / "options.yml")


def generated() -> dict[str, str]:
    """Return each survey's file: name -> content; none for a template that asks for nothing."""
    known = options()
    return {
        f"{name}.json": json.dumps(surveys.survey(template["asks"], known), indent=2, ensure_ascii=False) + "\n"
        for name, template in load(FILES / "templates.yml").items()
        if template["asks"]
    }


if __name__ == "__main__":
    for name, content in generated().items():
        (FILES / "surveys" / name).write_text(content)
