"""Random sequences of operations, compared with a model that is too simple to be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.models import User
from ledger.checks import violations
from ledger.errors import InsufficientFunds, TransferDecided
from ledger.models import Asset, Transfer
from ledger.services.transfers import confirm_transfer, reject_transfer, request_deposit, request_withdrawal
from wallet.queries import balances

NAMES = ("alice", "bob", "carol")
UNITS = {"EUR": Decimal("0.01"), "BTC": Decimal("0.00000001"), "ETH": Decimal("0.000000000000000001")}
# Whole and finest units, so that carries and leftovers occur.
amounts = st.tuples(st.integers(0, 5), st.integers(1, 3)).map(lambda pair: (pair[0], pair[1]))


@dataclass
class Model:
    """What everybody should own."""

    available: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    held: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    pending: dict[Any, tuple[str, str, str, Decimal]] = field(default_factory=dict)
    decided: dict[Any, str] = field(default_factory=dict)


class Books(RuleBasedStateMachine):
    """Deposits, withdrawals and the rail's answers, by several customers, in any order."""

    @initialize()
    def start(self) -> None:
        """Begin with empty books, in a transaction that is rolled back after each example."""
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.users = {name: User.objects.create(username=name) for name in NAMES}
        self.assets = {code: Asset.objects.get(pk=code) for code in UNITS}
        self.model = Model()
        self.requests = 0

    def _key(self) -> str:
        self.requests += 1
        return f"request-{self.requests}"

    @rule(name=st.sampled_from(NAMES), code=st.sampled_from(sorted(UNITS)), amount=amounts)
    def deposit(self, name: str, code: str, amount: tuple[int, int]) -> None:
        """Announce a deposit."""
        value = amount[0] + amount[1] * UNITS[code]
        transfer = request_deposit(self.users[name], self.assets[code], value, self._key())
        self.model.pending[transfer.pk] = ("deposit", name, code, value)

    @rule(name=st.sampled_from(NAMES), code=st.sampled_from(sorted(UNITS)), amount=amounts)
    def withdraw(self, name: str, code: str, amount: tuple[int, int]) -> None:
        """Ask for a withdrawal, twice with one key."""
        value = amount[0] + amount[1] * UNITS[code]
        key, place = self._key(), (name, code)
        user, asset = self.users[name], self.assets[code]
        available = self.model.available.get(place, Decimal(0))
        try:
            transfer = request_withdrawal(user, asset, value, "IBAN", key)
        except InsufficientFunds:
            assert value > available
            return
        assert value <= available
        assert request_withdrawal(user, asset, value, "IBAN", key) == transfer
        self.model.available[place] = available - value
        self.model.held[place] = self.model.held.get(place, Decimal(0)) + value
        self.model.pending[transfer.pk] = ("withdrawal", name, code, value)

    @rule(choice=st.integers(0, 1000), confirm=st.booleans())
    def decide(self, choice: int, confirm: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Let the rail answer to some pending transfer."""
        if not self.model.pending:
            return
        key = list(self.model.pending)[choice % len(self.model.pending)]
        direction, name, code, value = self.model.pending.pop(key)
        place = (name, code)
        (confirm_transfer if confirm else reject_transfer)(key)
        self.model.decided[key] = "confirmed" if confirm else "rejected"
        if direction == "withdrawal":
            self.model.held[place] -= value
        if (direction == "deposit") == confirm:
            self.model.available[place] = self.model.available.get(place, Decimal(0)) + value

    @rule(choice=st.integers(0, 1000), confirm=st.booleans())
    def decide_again(self, choice: int, confirm: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Repeat an answer, or contradict one."""
        if not self.model.decided:
            return
        key = list(self.model.decided)[choice % len(self.model.decided)]
        state = "confirmed" if confirm else "rejected"
        try:
            (confirm_transfer if confirm else reject_transfer)(key)
        except TransferDecided:
            assert self.model.decided[key] != state
        else:
            assert self.model.decided[key] == state

    def teardown(self) -> None:
        """Roll back."""
        if hasattr(self, "transaction"):
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    @invariant()
    def books_agree_with_model(self) -> None:
        """Compare everything."""
        if not hasattr(self, "model"):
            return
        for name, user in self.users.items():
            for balance in balances(user):
                place = (name, balance.asset.pk)
                assert balance.available == self.model.available.get(place, Decimal(0))
                assert balance.held == self.model.held.get(place, Decimal(0))
        states = {pk: state for pk, state in Transfer.objects.values_list("pk", "state") if state != "pending"}
        assert states == self.model.decided
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        assert violations() == []


def test_books_agree_with_model(db: None) -> None:
    del db
    bounds = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(Books, settings=bounds)
