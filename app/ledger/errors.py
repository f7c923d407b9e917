"""What the ledger refuses. The text of each is fit for a customer's eyes."""


class LedgerError(Exception):
    """Base class: the request was refused and nothing has changed."""


class AmountError(LedgerError):
    """The amount is not one of this asset."""


class InsufficientFunds(LedgerError):  # noqa: N818 - the field's name for it
    """The account holds less than that."""


class IdempotencyConflict(LedgerError):  # noqa: N818 - the field's name for it
    """The key was used before, for something else."""


class TransferDecided(LedgerError):  # noqa: N818 - reads as what happened
    """The transfer has been decided the other way already."""
