"""Pages keep themselves up to date, while they are seen, and say when they can't."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from browser_tests.site import Site
from browser_tests.steps import deposit, place_order, register

HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def count_polls(page: Page, seconds: float) -> int:
    """Return how many requests the page sends by itself in so many seconds."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.wait_for_timeout(seconds * 1000)
    return len(seen)


def test_asks_only_while_it_is_seen(site: Site) -> None:
    with site.visit() as visit:
        page = visit.page
        page.goto("/markets/BTC-USDC/")
        with page.expect_request("**/markets/BTC-USDC/live/"):
            pass
        page.evaluate(HIDE, True)  # noqa: FBT003 - an argument of the script
        page.wait_for_load_state("networkidle")
        assert count_polls(page, 7) == 0
        with page.expect_request("**/markets/BTC-USDC/live/", timeout=1_500):
            page.evaluate(HIDE, False)  # noqa: FBT003 - an argument of the script


def test_says_when_the_exchange_does_not_answer(site: Site) -> None:
    with site.visit() as visit:
        page = visit.page
        visit.expected += ["/markets/BTC-USDC/", "htmx:sendError", "htmx:afterRequest"]
        register(page, "patient")
        deposit(page, "USDC", "1000")
        page.goto("/markets/BTC-USDC/")
        trouble = page.locator("#failed")
        expect(trouble).to_be_hidden()
        page.route("**/markets/**", lambda route: route.fulfill(status=503, body="<p>no</p>"))
        expect(trouble).to_be_visible()
        form = page.locator("#order-form")
        form.get_by_label("Price").fill("100")
        form.get_by_label("Quantity").fill("1")
        key = form.locator("[name=idempotency_key]").input_value()
        form.get_by_role("button", name="Buy BTC").click()
        expect(form.get_by_role("button", name="Buy BTC")).to_be_enabled()
        expect(form.get_by_label("Quantity")).to_have_value("1")
        assert form.locator("[name=idempotency_key]").input_value() == key, "sent again it is the same order"
        page.unroute("**/markets/**")
        page.route("**/order/", lambda route: (route.fetch(), route.abort())[-1])
        form.get_by_role("button", name="Buy BTC").click()
        expect(page.locator("#own")).to_contain_text("100.00")
        page.unroute("**/order/")
        form.get_by_role("button", name="Buy BTC").click()
        expect(form.locator(".notice")).to_contain_text("waits in the book")
        expect(trouble).to_be_hidden()
        expect(page.locator("#own tbody tr")).to_have_count(1)


def test_keeps_focus_and_what_is_typed(site: Site) -> None:
    with site.visit() as visit:
        page = visit.page
        register(page, "typing")
        deposit(page, "USDC", "1000")
        place_order(page, "Buy", "1", "10")
        page.locator("#id_quantity").fill("12.")
        cancel = page.get_by_role("button", name="Cancel order")
        cancel.focus()
        before = cancel.get_attribute("id")
        marked = page.locator("#own tbody tr").element_handle()
        deadline = time.monotonic() + 15
        while marked.is_visible() and time.monotonic() < deadline:
            page.wait_for_timeout(100)
        assert not marked.is_visible(), "the list was fetched anew"
        assert page.evaluate("document.activeElement.id") == before
        expect(page.locator("#id_quantity")).to_have_value("12.")
