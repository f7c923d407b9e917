"""From the registration to the trade, as two people see it."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from browser_tests.site import PASSWORD, Site
from browser_tests.steps import code_of, deposit, enable_second_factor, log_in, log_out, place_order, register


def test_two_people_trade(site: Site) -> None:
    with site.visit() as buying, site.visit(size="phone") as selling:
        buyer, seller = buying.page, selling.page
        register(buyer, "buyer")
        secret = enable_second_factor(buyer)
        log_out(buyer, "buyer")
        log_in(buyer, "buyer")
        expect(buyer.get_by_label("Code")).to_be_visible()
        buyer.goto("/wallet/")
        expect(buyer.get_by_label("Code")).to_be_visible()
        assert not buyer.url.endswith("/wallet/"), "the password alone must not do"
        buyer.get_by_label("Code").fill(code_of(secret))
        buyer.get_by_role("button", name="Sign In").click()
        expect(buyer.get_by_role("heading", name="Wallet")).to_be_visible()
        deposit(buyer, "EUR", "10000")
        register(seller, "seller")
        deposit(seller, "USDC", "5000")

        # A market that nobody has traded on yet.
        buyer.goto("/markets/USDC-EUR/")
        expect(buyer.get_by_text("No candles yet.")).to_be_visible()
        said = place_order(seller, "Sell", "3000", "0.9215", market="USDC-EUR")
        assert said == "Your order to sell 3,000 USDC at 0.9215 EUR waits in the book."
        expect(buyer.locator("#book .asks")).to_contain_text("0.9215")
        expect(buyer.locator("#book .bids")).to_contain_text("Nobody buys")
        expect(seller.locator("#available")).to_contain_text("2,000.00")
        said = place_order(buyer, "Buy", "1000", "0.95", market="USDC-EUR")
        assert said == "Bought 1,000 USDC at 0.9215 EUR on average."

        # Both see it without doing anything: price, trade, what is left of the order, what they own.
        for page in (buyer, seller):
            expect(page.locator("#ticker .last")).to_contain_text("0.9215")
            expect(page.locator("#trades tbody tr")).to_have_count(1)
            expect(page.locator("#trades")).to_contain_text("1,000")
            expect(page.locator("#book .asks")).to_contain_text("2,000")
        expect(seller.locator("#own")).to_contain_text("3,000")
        expect(seller.locator("#available")).to_contain_text("920.58")
        expect(buyer.locator("#available")).to_contain_text("998.00")
        # The worker makes a candle, and the chart follows by itself.
        expect(buyer.locator("svg.candles.wide .up, svg.candles.wide .down")).to_have_count(1)
        expect(seller.locator("svg.candles.narrow")).to_be_visible(timeout=25_000)
        assert "closed at 0.9215" in str(buyer.locator("svg.candles.wide").get_attribute("aria-label"))
        buyer.get_by_role("link", name="1m", exact=True).click()
        expect(buyer.locator("#interval-1m")).to_have_attribute("aria-current", "true")

        seller.get_by_role("button", name="Cancel order").click()
        expect(seller.locator("#own-said")).to_contain_text("is cancelled.")
        expect(buyer.locator("#book .asks")).to_contain_text("Nobody sells")
        history(buyer, "1,000", "Buy")
        history(seller, "1,000", "Sell")
    assert site.books_balance()


def history(page: Page, quantity: str, side: str) -> None:
    """Find the trade in the history, and in the download."""
    page.goto("/wallet/")
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="Trades").click()
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(quantity)
    expect(row).to_contain_text(side)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [(row["quantity"], row["side"]) for row in rows] == [("1000", side.lower())]
    page.get_by_role("link", name="Orders").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_refusals_are_said_beside_their_field(site: Site) -> None:
    with site.visit() as visit:
        page = visit.page
        visit.expected.append("/order/")
        register(page, "refused")
        deposit(page, "USDC", "100")
        page.goto("/markets/BTC-USDC/")
        form = page.locator("#order-form")
        for quantity, price, field, message in (
            ("1", "50000", "quantity", "That is more than is available."),
            ("0.00001", "50000", "quantity", "multiple of 0.0001 BTC"),
            ("1", "50.001", "price", "multiple of 0.01 USDC"),
            ("1e5", "50", "quantity", "in digits"),
            ("1", "", "price", "needs a price"),
        ):
            form.get_by_label("Quantity").fill(quantity)
            form.get_by_label("Price").fill(price)
            form.get_by_role("button", name="Buy BTC").click()
            expect(form.locator(f"#id_{field}_error")).to_contain_text(message)
            expect(form.locator(f"#id_{field}")).to_have_attribute("aria-invalid", "true")
            expect(form.locator("#id_quantity")).to_have_value(quantity)
        expect(page.locator("#own")).to_contain_text("no open orders")


def test_estimate_before_the_order(site: Site) -> None:
    with site.visit() as visit:
        page = visit.page
        register(page, "careful")
        page.goto("/markets/BTC-USDC/")
        form = page.locator("#order-form")
        form.get_by_text("Market", exact=True).click()
        expect(form.get_by_label("Price")).to_be_hidden()
        form.get_by_label("Quantity").fill("0.1")
        estimate = page.locator("#estimate")
        expect(estimate).to_contain_text("Pays at once")
        expect(estimate).to_contain_text("0.0002 BTC")
        form.get_by_text("Sell", exact=True).click()
        expect(estimate).to_contain_text("Brings at once")
        form.get_by_label("Quantity").fill("a few")
        expect(estimate).to_be_empty()


def test_picture(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "me.jpg"
    Image.new("RGB", (600, 400), "teal").save(file)
    with site.visit() as visit:
        page = visit.page
        visit.expected.append("/profile/")
        register(page, "pictured")
        page.goto("/profile/")
        page.get_by_label("New picture").set_input_files(file)
        page.get_by_role("button", name="Upload").click()
        shown = page.get_by_role("img", name="Your picture")
        expect(shown).to_be_visible()
        assert shown.evaluate("image => [image.complete, image.naturalWidth]") == [True, 256]
        file.write_bytes(b"no picture")
        page.get_by_label("New picture").set_input_files(file)
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("alert").locator("visible=true")).to_contain_text("not a picture that we can read")
        page.get_by_role("button", name="Remove the picture").click()
        expect(page.get_by_text("Your picture is removed.")).to_be_visible()
        expect(shown).to_have_count(0)


def test_without_javascript(site: Site) -> None:
    with site.visit(javascript=False) as visit:
        page = visit.page
        visit.expected.append("/order/")
        register(page, "plain")
        deposit(page, "USDC", "1000")
        page.goto("/markets/BTC-USDC/")
        page.get_by_role("link", name="1d", exact=True).click()
        expect(page.locator("#interval-1d")).to_have_attribute("aria-current", "true")
        form = page.locator("#order-form")
        form.get_by_label("Price").fill("100")
        form.get_by_label("Quantity").fill("1000")
        form.get_by_role("button", name="Buy BTC").click()
        expect(page.locator("#id_quantity_error")).to_contain_text("more than is available")
        page.locator("#id_quantity").fill("0.5")
        page.get_by_role("button", name="Buy BTC").click()
        expect(page.get_by_text(re.compile("Your order to buy 0.50 BTC at 100.00 USDC waits"))).to_be_visible()
        page.get_by_role("button", name="Cancel order").click()
        expect(page.get_by_text("is cancelled.")).to_be_visible()
        expect(page.locator("#own")).to_contain_text("no open orders")


def test_session_that_ends_while_the_page_is_open(site: Site) -> None:
    with site.visit() as visit:
        page = visit.page
        register(page, "sleepy")
        page.goto("/markets/BTC-USDC/?interval=1d")
        page.context.clear_cookies()
        page.wait_for_url("**/accounts/login/?next=/markets/BTC-USDC/*")
        page.get_by_label("Login").fill("sleepy")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/markets/BTC-USDC/?interval=1d")
