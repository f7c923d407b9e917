"""What the rotation forgets is made anew, logins take turns, and steps stand in the order that keeps everybody in."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from unit.templates.render import ROLES, load, variables_of

TASKS = ROLES / "postgres" / "tasks"
PLAYBOOK = ROLES.parent / "playbooks" / "rotate_passwords.yml"
KNOWN: dict[str, dict[str, str]] = {
    "exchange-database/postgres-app": {"username": "exchange_a", "password": "old", "database": "exchange"},
    "exchange-database/postgres-credentials": {"replication-password": "old", "credentials.yml": "old"},
    "exchange-database/postgres-exporter": {"password": "old"},
    "exchange-database/pgbouncer": {"password": "old"},
    "exchange/exchange-secrets": {"SECRET_KEY": "stays"},
}


def after(file: str, secrets: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return the Secrets as they are known after a file's first task."""
    task = next(t for t in load(TASKS / file) if "platform_secrets" in (t.get("ansible.builtin.set_fact") or {}))
    variables = {**variables_of("postgres", {}), "platform_secrets": secrets}
    changed: dict[str, dict[str, str]] = Templar(DataLoader(), variables=variables).template(
        task["ansible.builtin.set_fact"]["platform_secrets"]
    )
    return changed


@pytest.mark.parametrize(("used", "next_one"), [("exchange_a", "exchange_b"), ("exchange_b", "exchange_a")])
def test_logins_take_turns(used: str, next_one: str) -> None:
    app = {**KNOWN["exchange-database/postgres-app"], "username": used}
    changed = after("rotate_login.yml", {**KNOWN, "exchange-database/postgres-app": app})
    assert changed["exchange-database/postgres-app"] == {"username": next_one, "database": "exchange"}
    unchanged = {name: content for name, content in changed.items() if name != "exchange-database/postgres-app"}
    assert unchanged == {name: content for name, content in KNOWN.items() if name in unchanged}


def test_everything_but_the_application_s_is_forgotten_for_the_members() -> None:
    changed = after("rotate_members.yml", KNOWN)
    assert changed["exchange-database/postgres-app"] == KNOWN["exchange-database/postgres-app"]
    assert changed["exchange/exchange-secrets"] == {"SECRET_KEY": "stays"}
    assert [name for name, content in changed.items() if not content] == [
        "exchange-database/postgres-credentials",
        "exchange-database/postgres-exporter",
        "exchange-database/pgbouncer",
    ]


def names(tasks: list[dict[str, Any]]) -> list[str]:
    """Return what each task includes, or its name."""
    return [
        (task.get("ansible.builtin.include_role") or {}).get("tasks_from")
        or (task.get("ansible.builtin.include_role") or {}).get("name")
        or task.get("ansible.builtin.include_tasks")
        or task["name"]
        for task in tasks
    ]


def test_a_stopped_run_is_finished_before_another_login_is_touched() -> None:
    play = yaml.safe_load(PLAYBOOK.read_text())[1]
    app = "cryptoexchange.platform.exchange_app"
    assert names(play["tasks"]) == [
        "rotate_begin.yml", app, "rotate_login.yml", app, "rotate_idle_login.yml", "rotate_members.yml",
    ]  # fmt: skip


def test_members_have_the_new_ones_at_hand_before_the_server_wants_them() -> None:
    order = names(load(TASKS / "rotate_members.yml"))
    wanted = ["credentials.yml", "brought.yml", "server.yml", "reload.yml", "main.yml"]
    assert [name for name in order if name in wanted] == wanted
