"""Render the manifests of a role as roles/objects does, without a cluster.

What is rendered isn't listed here: it is read from the role's tasks, wherever they include roles/objects, and the
expression that renders it is roles/objects' own. A file ROLE.yml beside this one names sets of variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from jinja2 import Environment, FileSystemLoader

HERE = Path(__file__).resolve().parent
ROLES = HERE.parents[2] / "roles"
OBJECTS = "cryptoexchange.platform.objects"
# roles/objects renders a template of its own, with the list of what another role applied.
OWN_TEMPLATES = frozenset({"objects/applied.yaml.j2"})
# Not applied by roles/objects, since it is gone again when the play ends; test_restore.py and test_drill.py render it.
ELSEWHERE = ("postgres_backup/restore/", "postgres/restored/", "exchange_app/media/", "monitoring/drill/")
# Facts of a first run on an empty cluster.
FACTS = {"platform_secrets": {}, "ansible_check_mode": False, "ansible_diff_mode": False}


class RenderError(Exception):
    """A role can't be rendered; the message says what to do about it."""


@dataclass(frozen=True)
class Rendered:
    """What one set of variables makes of a role: objects as they reach the API, and which templates they came from."""

    objects: tuple[dict[str, Any], ...]
    templates: frozenset[str]
    variables: Mapping[str, Any]


def load(path: Path) -> Any:
    """Return a YAML file's content, whose templates are trusted as those of a playbook are; nothing if it's missing."""
    return DataLoader().load_from_file(str(path), trusted_as_template=True) if path.exists() else None


def roles_with_templates() -> list[str]:
    """Return the roles whose templates roles/objects applies."""
    return sorted({path.relative_to(ROLES).parts[0] for path in ROLES.glob("*/templates/**/*.j2")} - {"objects"})


def sets(role: str) -> dict[str, dict[str, Any]]:
    """Return the sets of variables of a role, by name; none if its file is missing."""
    return {name: values or {} for name, values in (load(HERE / f"{role}.yml") or {}).items()}


def templates_of(role: str) -> frozenset[str]:
    """Return all templates of a role, as ROLE/PATH."""
    folder = ROLES / role / "templates"
    return frozenset(f"{role}/{path.relative_to(folder)}" for path in folder.rglob("*.j2"))


def includes(tasks: Iterable[Mapping[str, Any]], conditions: tuple[Any, ...] = ()) -> Iterator[dict[str, Any]]:
    """Yield the `vars` of each inclusion of roles/objects, with its and its blocks' conditions as `when`."""
    for task in tasks:
        when = task.get("when", [])
        here = (*conditions, *(when if isinstance(when, list) else [when]))
        for part in ("block", "rescue", "always"):
            yield from includes(task.get(part) or [], here)
        include = task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role") or {}
        if include.get("name") == OBJECTS and "tasks_from" not in include:
            if "loop" in task:
                raise RenderError(f"{task['name']}: a loop around roles/objects is not rendered here")
            yield {"vars": task["vars"], "when": here}


def variables_of(role: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return all variables that the role's templates see, in Ansible's order of precedence."""
    values: dict[str, Any] = {}
    for name in ("platform", "objects", role):
        values |= load(ROLES / name / "defaults" / "main.yml") or {}
    values |= chosen
    for name in ("platform", role):
        values |= load(ROLES / name / "vars" / "main.yml") or {}
    values |= FACTS
    # Facts that a set brings along win as set_fact does.
    values |= {name: value for name, value in chosen.items() if name in FACTS or name.startswith("__")}
    folder = str(ROLES / role)
    return {
        **values,
        "role_path": folder,
        "ansible_parent_role_paths": [folder],
        "ansible_search_path": [folder],
    }


def render_expression() -> tuple[dict[str, Any], Any]:
    """Return what roles/objects renders with: the task's variables and the expression."""
    tasks = load(ROLES / "objects" / "tasks" / "main.yml")
    task = next(t for t in tasks if "__objects_all" in t.get("ansible.builtin.set_fact", {}))
    return task["vars"], task["ansible.builtin.set_fact"]["__objects_all"]


@contextmanager
def included_templates() -> Iterator[set[str]]:
    """Collect the paths of what templates include while this is open."""
    paths: set[str] = set()
    get_source = FileSystemLoader.get_source

    def noting(self: FileSystemLoader, environment: Environment, template: str) -> Any:
        source = get_source(self, environment, template)
        paths.add(str(source[1]))
        return source

    with mock.patch.object(FileSystemLoader, "get_source", noting):
        yield paths


@cache
def render(role: str, chosen: str) -> Rendered:
    """Render a role with one of its sets of variables.

    Raises:
        RenderError: the set or a variable is missing.
    """
    if chosen not in sets(role):
        raise RenderError(
            f"roles/{role} has templates, but tests/unit/templates/{role}.yml has no set of variables {chosen!r}"
        )
    variables = variables_of(role, sets(role)[chosen])
    own, expression = render_expression()
    objects: list[dict[str, Any]] = []
    templates: set[str] = set()
    for path in sorted((ROLES / role / "tasks").glob("*.yml")):
        for include in includes(load(path) or []):
            templar = Templar(loader=DataLoader(), variables={**variables, **include["vars"], **own})
            try:
                if not all(templar.evaluate_conditional(condition) for condition in include["when"]):
                    continue
                templates |= {f"{role}/{name}" for name in templar.template(include["vars"]["objects_templates"])}
                with included_templates() as included:
                    objects += templar.template(expression)
                templates |= {f"{role}/{Path(path).relative_to(ROLES / role / 'templates')}" for path in included}
            except AnsibleError as error:
                raise RenderError(f"{path.relative_to(ROLES)}, set {chosen}: {error}") from error
    facts = {name: variables[name] for name in ("platform_images", "platform_image_registry", "platform_instance")}
    return Rendered(tuple(objects), frozenset(templates), Templar(DataLoader(), variables).template(facts))
