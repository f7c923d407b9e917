"""Everything can be done without a mouse."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from browser_tests.site import PASSWORD, Site
from browser_tests.steps import deposit, register

MOST_TABS = 60


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus, which must be seen."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            seen = page.evaluate(
                """() => [document.activeElement, document.activeElement.closest("label")].some(
                    element => element && getComputedStyle(element).outlineStyle !== "none")"""
            )
            assert seen, f"nobody sees that {selector} has the focus"
            return
    raise AssertionError(f"{selector} isn't reached within {MOST_TABS} steps")


def test_log_in_order_and_cancel(site: Site) -> None:
    with site.visit() as visit:
        register(visit.page, "keyboard")
        deposit(visit.page, "USDC", "1000")
    with site.visit() as visit:
        page, keyboard = visit.page, visit.page.keyboard
        page.goto("/accounts/login/")
        keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        tab_to(page, "[name=login]")
        keyboard.type("keyboard")
        tab_to(page, "[name=password]")
        keyboard.type(PASSWORD)
        keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Wallet")).to_be_visible()
        tab_to(page, "a[href='/markets/']")
        keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Markets")).to_be_visible()
        tab_to(page, "#to-BTC-USDC")
        keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Place an order")).to_be_visible()
        tab_to(page, "#order-form [name=side]")
        tab_to(page, "[name=price]")
        keyboard.type("99.5")
        tab_to(page, "[name=quantity]")
        keyboard.type("2")
        tab_to(page, "#order-form > button")
        keyboard.press("Enter")
        expect(page.locator("#own tbody tr")).to_have_count(1)
        tab_to(page, "#own button")
        keyboard.press("Enter")
        expect(page.locator("#own-said")).to_contain_text("is cancelled.")
        expect(page.locator("#own")).to_contain_text("no open orders")
        page.locator("body").press("Home")
        tab_to(page, "details.menu summary")
        keyboard.press("Enter")
        tab_to(page, "a[href='/profile/']")
        keyboard.press("Escape")
        expect(page.locator("details.menu summary")).to_be_focused()
        keyboard.press("Enter")
        tab_to(page, "a[href='/profile/']")
        keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Profile")).to_be_visible()
