"""The markets' pages. Everybody may look; htmx fetches anew what changes, and all of it works without as well."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import trigger_client_event

from accounts.customers import customer, customer_required, htmx
from ledger.errors import InsufficientFunds, LedgerError
from markets import chart as charts
from markets import queries
from markets.errors import UnknownOrder
from markets.forms import OrderForm
from markets.models import Market, Order
from markets.reports import estimate as estimated
from markets.reports import report
from markets.services.orders import cancel_order, place_order
from wallet.queries import balances

# Widths of candles that the chart offers, by their name in the address.
INTERVALS: Final = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}
DEFAULT_INTERVAL: Final = "1h"
BOOK_LEVELS: Final = 10
TRADES: Final = 25
OWN_ORDERS: Final = 50
# Tells the page to fetch anew what an order may have changed.
ORDERS_CHANGED: Final = "orders-changed"


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show every market's last price and its last 24 hours."""
    template = "markets/_tickers.html" if htmx(request) else "markets/index.html"
    return render(request, template, {"tickers": queries.tickers()})


@require_GET
def show(request: HttpRequest, code: str) -> HttpResponse:
    """Show a market: chart, book, trades, and for customers the order form and their open orders."""
    market = find(code)
    return page(request, market, OrderForm(market))


@require_GET
def live(request: HttpRequest, code: str) -> HttpResponse:
    """Return what everybody sees change: prices, book and trades."""
    return render(request, "markets/_live.html", live_context(find(code)))


@require_GET
def chart(request: HttpRequest, code: str) -> HttpResponse:
    """Return the chart alone."""
    return render(request, "markets/_chart.html", chart_context(find(code), request.GET.get("interval")))


@customer_required
@require_GET
def own(request: HttpRequest, code: str) -> HttpResponse:
    """Return the customer's open orders, and what is available to them."""
    return render(request, "markets/_own.html", own_context(request, find(code)))


@customer_required
@require_POST
def order(request: HttpRequest, code: str) -> HttpResponse:
    """Place an order."""
    market = find(code)
    form = OrderForm(market, request.POST)
    if form.is_valid():
        try:
            placed = place_order(customer(request), form.order_request(), form.cleaned_data["idempotency_key"])
        except LedgerError as error:
            form.add_error("quantity" if isinstance(error, InsufficientFunds) else None, str(error))
        else:
            return answer(request, placed, OrderForm(market, initial=form.as_entered()))
    if htmx(request):
        return render(request, "markets/_order_form.html", form_context(request, market, form), status=400)
    return page(request, market, form, status=400)


@customer_required
@require_POST
def estimate(request: HttpRequest, code: str) -> HttpResponse:
    """Say what an order would cost or bring right now; nothing is placed."""
    market = find(code)
    form = OrderForm(market, request.POST)
    found = estimated(form.order_request(), market) if form.is_valid() else None
    return render(request, "markets/_estimate.html", {"market": market, "estimate": found})


@customer_required
@require_POST
def cancel(request: HttpRequest, order_id: int) -> HttpResponse:
    """Take one of the customer's own orders out of the book."""
    try:
        cancelled = cancel_order(customer(request), order_id)
    except UnknownOrder:
        raise Http404 from None
    except LedgerError as error:
        level, text = messages.ERROR, str(error)
        code = Order.objects.values_list("market", flat=True).get(pk=order_id)
    else:
        level, text, code = messages.SUCCESS, f"Order {cancelled.pk} is cancelled.", cancelled.market_id
    if not htmx(request):
        messages.add_message(request, level, text)
        return redirect("markets:market", code)
    # Not as a message: the next page that the customer fetches, in whichever tab, would show it.
    said = {"tags": messages.DEFAULT_TAGS[level], "text": text}
    response = render(request, "markets/_own.html", own_context(request, find(code)) | {"said": said})
    return trigger_client_event(response, ORDERS_CHANGED)


def find(code: str) -> Market:
    """Return a market, or answer that there is none."""
    return get_object_or_404(Market.objects.select_related("base", "quote"), pk=code)


def page(request: HttpRequest, market: Market, form: OrderForm, status: int = 200) -> HttpResponse:
    """Render the whole page of a market."""
    context = live_context(market) | chart_context(market, request.GET.get("interval"))
    context["markets"] = Market.objects.values_list("code", flat=True)
    if request.user.is_authenticated:
        context |= own_context(request, market) | {"form": form}
    return render(request, "markets/market.html", context, status=status)


def answer(request: HttpRequest, placed: Order, form: OrderForm) -> HttpResponse:
    """Say what became of an order, beside a fresh form."""
    done = report(placed)
    if not htmx(request):
        messages.add_message(request, messages.SUCCESS if done.well else messages.WARNING, done.text)
        return redirect(reverse("markets:market", args=[placed.market_id]))
    context = form_context(request, placed.market, form) | {"done": done}
    return trigger_client_event(render(request, "markets/_order_form.html", context), ORDERS_CHANGED)


def live_context(market: Market) -> dict[str, Any]:
    """Read what everybody sees change."""
    ticker, book = queries.ticker(market), queries.book(market, BOOK_LEVELS)
    largest = max((level.quantity for level in [*book.bids, *book.asks]), default=None)
    trades = queries.trades(market, limit=TRADES)
    return {"market": market, "ticker": ticker, "book": book, "largest": largest, "trades": trades}


def chart_context(market: Market, interval: str | None) -> dict[str, Any]:
    """Read and lay out the chart, once for wide and once for narrow screens."""
    name = interval if interval in INTERVALS else DEFAULT_INTERVAL
    seconds = INTERVALS[name]
    candles = queries.candles(market, seconds, charts.WIDE.slots)
    last = next((trade.price for trade in queries.trades(market, limit=1)), None)
    layouts = {"wide": charts.WIDE, "narrow": charts.NARROW}
    drawn = {
        size: charts.draw(candles, seconds, layout, decimals=market.price_decimals, last=last)
        for size, layout in layouts.items()
    }
    return {"market": market, "charts": drawn if candles else {}, "interval": name, "intervals": list(INTERVALS)}


def own_context(request: HttpRequest, market: Market) -> dict[str, Any]:
    """Read the customer's open orders, and what is available to them."""
    user = customer(request)
    open_orders = queries.orders(user, market=market, status=Order.Status.OPEN, limit=OWN_ORDERS)
    return {"market": market, "orders": open_orders} | available_context(request, market)


def available_context(request: HttpRequest, market: Market) -> dict[str, Any]:
    """Read what the customer can pay with."""
    assets = [market.quote_id, market.base_id]
    found = {balance.asset.pk: balance for balance in balances(customer(request))}
    return {"available": [found[asset] for asset in assets]}


def form_context(request: HttpRequest, market: Market, form: OrderForm) -> dict[str, Any]:
    """Return what the order form's template needs."""
    return {"market": market, "form": form} | available_context(request, market)
