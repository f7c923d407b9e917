"""The forms that move money."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django import forms

from ledger.amounts import parse_amount
from ledger.errors import AmountError
from ledger.models import Asset


def new_key() -> str:
    """Return a key that a form carries, so that a form sent twice acts once."""
    return uuid.uuid4().hex


class TransferForm(forms.Form):
    """An amount of an asset."""

    asset = forms.ModelChoiceField(Asset.objects.all(), empty_label=None)
    # Text, not a number field: browsers and Django would round, or take 1e9.
    amount = forms.CharField(
        max_length=60,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "placeholder": "0.00"}),
    )
    idempotency_key = forms.RegexField(r"\A[A-Za-z0-9-]{8,100}\Z", widget=forms.HiddenInput, initial=new_key)

    field_order = ("asset", "amount", "destination", "idempotency_key")

    def clean(self) -> dict[str, Any]:
        """Read the amount as one of the asset."""
        cleaned = super().clean() or self.cleaned_data
        asset, text = cleaned.get("asset"), cleaned.get("amount")
        if isinstance(asset, Asset) and text:
            try:
                cleaned["amount"] = parse_amount(text, asset)
            except AmountError as error:
                self.add_error("amount", str(error))
        return cleaned

    @property
    def parsed_amount(self) -> Decimal:
        """The amount of a valid form."""
        amount: Decimal = self.cleaned_data["amount"]
        return amount


class DepositForm(TransferForm):
    """What a customer announces to pay in."""


class WithdrawalForm(TransferForm):
    """What a customer wants to be paid out, and where to."""

    destination = forms.CharField(
        min_length=4,
        max_length=100,
        help_text="A bank account or a wallet's address.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
