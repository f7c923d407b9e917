"""Which Helm the application is installed with."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from unit.templates.render import ROLES, load

[ASSERTION] = [
    task for task in load(ROLES / "exchange_app" / "tasks" / "preflight.yml") if "ansible.builtin.assert" in task
]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("v3.14.0+g3fc9f4b", True),
        ("v3.22.0+g1234567", True),
        ("v3.13.3+gc8b9489", False),
        ("v2.17.0+ga690bad", False),
        ("v4.0.0+g99cd196", False),
        ("no such thing", False),
        ("", False),
    ],
)
def test_helm_3_since_3_14_is_taken(said: str, *, expected: bool) -> None:
    variables = {"exchange_app_helm_binary": "helm", "__exchange_app_helm": {"stdout": said}} | ASSERTION["vars"]
    templar = Templar(loader=DataLoader(), variables=variables)
    condition, message = ASSERTION["ansible.builtin.assert"]["that"], ASSERTION["ansible.builtin.assert"]["fail_msg"]
    assert all(templar.evaluate_conditional(one) for one in condition) == expected
    words = f"says version {said[1:].partition('+')[0]}" if said.startswith("v") else "can't be run"
    assert f"{words}; expected Helm 3, 3.14 or newer." in templar.template(message)
