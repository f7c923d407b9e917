"""A planned switchover lets every pooler's clients go on, whatever becomes of it."""

from __future__ import annotations

from typing import Any

from unit.templates.render import ROLES, load

TASKS = load(ROLES / "postgres" / "tasks" / "switchover.yml")


def commands(tasks: list[dict[str, Any]]) -> list[str]:
    """Return the programs that tasks run in pods."""
    return [
        str(task["kubernetes.core.k8s_exec"]["command"]).split()[0]
        for task in tasks
        if "kubernetes.core.k8s_exec" in task
    ]


def test_clients_wait_during_it_and_go_on_in_any_case() -> None:
    [block] = [task for task in TASKS if "block" in task]
    assert commands(block["block"]) == ["pause", "patronictl"]
    assert commands(block["always"]) == ["resume"]
    looped = [
        task["loop"]
        for task in [*block["block"], *block["always"]]
        if "kubernetes.core.k8s_exec" in task and "loop" in task
    ]
    assert looped == ["{{ __postgres_pooler_names }}"] * 2


def test_a_pooler_that_can_not_wait_does_not_stop_it() -> None:
    [block] = [task for task in TASKS if "block" in task]
    assert block["block"][0]["failed_when"] is False
