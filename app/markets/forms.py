"""The order form."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from ledger.amounts import PLAIN
from markets.errors import InvalidOrder, MarketClosed
from markets.models import Market, Order
from markets.services.orders import OrderRequest, check_order
from wallet.forms import new_key

# Text, not a number field: browsers and Django would round, or take 1e9.
DECIMAL = {"inputmode": "decimal", "autocomplete": "off"}


class OrderForm(forms.Form):
    """What a customer wants to buy or sell on a market."""

    side = forms.ChoiceField(choices=Order.Side.choices, widget=forms.RadioSelect, initial=Order.Side.BUY)
    kind = forms.ChoiceField(
        label="Type", choices=Order.Kind.choices, widget=forms.RadioSelect, initial=Order.Kind.LIMIT
    )
    price = forms.CharField(max_length=60, required=False, widget=forms.TextInput(attrs=DECIMAL))
    quantity = forms.CharField(max_length=60, widget=forms.TextInput(attrs=DECIMAL))
    idempotency_key = forms.RegexField(r"\A[A-Za-z0-9-]{8,100}\Z", widget=forms.HiddenInput, initial=new_key)

    def __init__(self, market: Market, *args: Any, **kwargs: Any) -> None:
        """Keep the market, whose steps count."""
        super().__init__(*args, **kwargs)
        self.market = market

    def clean(self) -> dict[str, Any]:
        """Read the numbers, and check them against the market's steps; what is wrong stands beside its field."""
        cleaned = super().clean() or self.cleaned_data
        quantity = self._number("quantity")
        price = self._number("price") if cleaned.get("kind") == Order.Kind.LIMIT else None
        if quantity is not None:
            self._check("quantity", quantity, None)
        if price is not None:
            # A lot stands for a quantity that is wrong itself.
            sound = None if self.has_error("quantity") else quantity
            self._check("price", sound or self.market.lot_size, price)
        return cleaned | {"quantity": quantity, "price": price}

    def order_request(self) -> OrderRequest:
        """Return what a valid form asks for."""
        data = self.cleaned_data
        return OrderRequest(self.market.pk, Order.Side(data["side"]), data["quantity"], data["price"])

    def as_entered(self) -> dict[str, Any]:
        """Return what the next form begins with: the same choices, but no quantity, so that nothing is sent twice."""
        return {name: self.cleaned_data[name] for name in ("side", "kind")} | {"price": self.data.get("price", "")}

    def _number(self, field: str) -> Decimal | None:
        text = str(self.cleaned_data.get(field) or "").strip()
        if not text and field == "price":
            self.add_error(field, "A limit order needs a price.")
        elif text and not PLAIN.fullmatch(text):
            self.add_error(field, f"Write the {field} in digits, with a point before the decimals.")
        elif text:
            return Decimal(text)
        return None

    def _check(self, field: str, quantity: Decimal, price: Decimal | None) -> None:
        try:
            check_order(OrderRequest(self.market.pk, Order.Side.BUY, quantity, price), self.market)
        except InvalidOrder as error:
            self.add_error(field, str(error))
        except MarketClosed:
            return  # whoever places the order says so
