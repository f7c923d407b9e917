"""An order book in plain lists, too simple to be wrong and too slow to be used: what the real one is compared with.

It shares no code with the exchange. Orders are known by whatever the caller calls them; the lower one came first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)


@dataclass
class Waiting:
    """An order in the book."""

    name: int
    owner: str
    side: str
    price: Decimal
    left: Decimal


@dataclass
class Plan:
    """What an order would do: whom it meets, at which price, for how much; what is left, and why it may not wait."""

    fills: list[tuple[Waiting, Decimal, Decimal]]
    left: Decimal
    reason: str

    @property
    def status(self) -> str:
        """What becomes of the order."""
        if self.left == 0:
            return "filled"
        return "cancelled" if self.reason else "open"


@dataclass
class ReferenceBook:
    """One market's open orders, in no order at all."""

    waiting: list[Waiting] = field(default_factory=list)

    def plan(self, owner: str, side: str, quantity: Decimal, price: Decimal | None, most_fills: int) -> Plan:
        """Say what an order would do; it isn't done yet."""
        plan = Plan([], quantity, "")
        met: set[int] = set()
        while plan.left > 0:
            others = [o for o in self.waiting if o.side != side and o.name not in met]
            if price is not None:
                others = [o for o in others if (o.price <= price if side == "buy" else o.price >= price)]
            if not others:
                plan.reason = "no_liquidity" if price is None else ""
                break
            best_price = min(o.price for o in others) if side == "buy" else max(o.price for o in others)
            best = min((o for o in others if o.price == best_price), key=lambda o: o.name)
            if best.owner == owner:
                plan.reason = "self_trade"
                break
            if len(plan.fills) == most_fills:
                plan.reason = "fill_limit"
                break
            taken = min(plan.left, best.left)
            met.add(best.name)
            plan.fills.append((best, best.price, taken))
            plan.left -= taken
        return plan

    def do(self, name: int, owner: str, side: str, price: Decimal | None, plan: Plan) -> None:
        """Do what was planned."""
        for other, _price, taken in plan.fills:
            other.left -= taken
        self.waiting = [o for o in self.waiting if o.left > 0]
        if plan.status == "open" and price is not None:
            self.waiting.append(Waiting(name, owner, side, price, plan.left))

    def cancel(self, name: int) -> Waiting:
        """Take an order out, and return it."""
        found = next(o for o in self.waiting if o.name == name)
        self.waiting.remove(found)
        return found

    @property
    def crossed(self) -> bool:
        """Whether somebody would pay what somebody else asks for."""
        bids = [o.price for o in self.waiting if o.side == "buy"]
        asks = [o.price for o in self.waiting if o.side == "sell"]
        return bool(bids) and bool(asks) and max(bids) >= min(asks)
