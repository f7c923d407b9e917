"""What the books refuse. The text of each is fit for a customer's eyes, its code for a program's."""

from typing import ClassVar


class LedgerError(Exception):
    """Base class: the request was refused and nothing has changed."""

    code: ClassVar[str] = "refused"


class AmountError(LedgerError):
    """The amount is not one of this asset."""

    code = "invalid-amount"


class InsufficientFunds(LedgerError):  # noqa: N818 - the field's name for it
    """The account holds less than that."""

    code = "insufficient-funds"


class IdempotencyConflict(LedgerError):  # noqa: N818 - the field's name for it
    """The key was used before, for something else."""

    code = "idempotency-conflict"


class TransferDecided(LedgerError):  # noqa: N818 - reads as what happened
    """The transfer has been decided the other way already."""

    code = "transfer-decided"


class AccountFrozen(LedgerError):  # noqa: N818 - reads as what happened
    """Support has frozen the customer's account: nothing but looking and cancelling."""

    code = "account-frozen"
