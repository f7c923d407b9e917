"""What people do on the pages."""

from __future__ import annotations

import re
import time

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from playwright.sync_api import Page, expect

from browser_tests.site import PASSWORD

PERIOD_SECONDS = 30


def register(page: Page, name: str) -> None:
    """Register, which logs in as well."""
    page.goto("/accounts/signup/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Email").fill(f"{name}@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", name="Wallet")).to_be_visible()


def log_in(page: Page, name: str) -> None:
    """Send name and password."""
    page.goto("/accounts/login/")
    page.get_by_label("Login").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def log_out(page: Page, name: str) -> None:
    """Log out by the menu."""
    page.locator("summary", has_text=name).click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def code_of(secret: str, *, after: str = "") -> str:
    """Return a code of the second factor that is good for a few seconds at least, and another one than `after`."""
    deadline = time.monotonic() + 2 * PERIOD_SECONDS
    while time.monotonic() < deadline:
        code = str(format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time()))))
        if code != after and PERIOD_SECONDS - time.time() % PERIOD_SECONDS > 3:
            return code
        time.sleep(0.2)
    raise TimeoutError("there is no new code of the second factor")


def enable_second_factor(page: Page) -> str:
    """Switch TOTP on; return its secret."""
    page.goto("/accounts/2fa/totp/activate/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    secret = page.locator("#authenticator_secret").input_value()
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("heading", name="Recovery Codes")).to_be_visible()
    return secret


def deposit(page: Page, asset: str, amount: str, *, confirm: bool = True) -> None:
    """Announce a deposit, and play the bank."""
    page.goto("/wallet/deposit/")
    page.get_by_label("Asset").select_option(asset)
    page.get_by_label("Amount").fill(amount)
    page.get_by_role("button", name="Announce deposit").click()
    expect(page.get_by_text("Deposit announced.")).to_be_visible()
    if confirm:
        page.locator(".pending .card").first.get_by_role("button", name="Confirm").click()
        expect(page.get_by_text("Deposit confirmed.")).to_be_visible()


def place_order(page: Page, side: str, quantity: str, price: str | None = None, *, market: str = "BTC-USDC") -> str:
    """Place an order on the market's page, which may be open already; return what the page says about it."""
    if not re.search(rf"/markets/{market}/", page.url):
        page.goto(f"/markets/{market}/")
    form = page.locator("#order-form")
    form.get_by_text(side, exact=True).first.click()
    form.get_by_text("Market" if price is None else "Limit", exact=True).click()
    if price is not None:
        form.get_by_label("Price").fill(price)
    form.get_by_label("Quantity").fill(quantity)
    key = form.locator("[name=idempotency_key]")
    before = key.input_value()
    form.get_by_role("button", name=side).click()
    expect(key).not_to_have_value(before)
    notice = form.locator(".notice")
    expect(notice).to_contain_text(re.compile("Bought|Sold|waits|Nothing"))
    return notice.inner_text()
