"""What a market refuses. The text of each is fit for a customer's eyes, its code for a program's."""

from ledger.errors import LedgerError


class InvalidOrder(LedgerError):  # noqa: N818 - reads as what it is
    """Price or quantity is not one of this market."""

    code = "invalid-order"

    def __init__(self, message: str, field: str) -> None:
        """Keep which of the two it is."""
        super().__init__(message)
        self.field = field


class MarketClosed(LedgerError):  # noqa: N818 - reads as what it is
    """The market takes no orders now."""

    code = "market-closed"


class UnknownMarket(LedgerError):  # noqa: N818 - reads as what it is
    """There is no such market."""

    code = "unknown-market"


class UnknownOrder(LedgerError):  # noqa: N818 - reads as what it is
    """The customer has no such order."""

    code = "unknown-order"


class OrderClosed(LedgerError):  # noqa: N818 - reads as what it is
    """The order is filled already."""

    code = "order-closed"
