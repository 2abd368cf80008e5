"""Opens a page of giltrace in a browser and uses it; prints what it showed, in JSON.

Usage: timeline_page.py CHROMIUM PAGE
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

TABLES = """() => Object.fromEntries(
    [...document.querySelectorAll('#statistics h3')].map((title) => [
        title.textContent,
        [...title.nextElementSibling.querySelectorAll('tr')].map(
            (row) => [...row.cells].map((cell) => cell.textContent.replace(/ [▴▾]$/, '')))]))"""
IS_SETTLED = "() => !asked && !isCounting()"
VIEW = "() => { const { begin, end } = element('lanes').dataset; return [+begin, +end]; }"
COLOURS = """() => {
    const [background, text] = ['Canvas', 'CanvasText'].map((name) => {
        const swatch = document.body.appendChild(document.createElement('i'));
        swatch.style.color = name;
        return getComputedStyle(swatch).color;
    });
    const width = document.documentElement.scrollWidth;
    return { background, text, hold: colours.function, width };
}"""


class Shown:
    """The page, and what it says when it has drawn and counted."""

    def __init__(self, browser, page, errors, **options):
        self.page = browser.new_page(**options)
        self.page.on("pageerror", lambda error: errors.append(str(error)))
        self.page.on("request", lambda request: errors.append(request.url))
        self.page.goto(page, wait_until="load")
        errors.remove(page)  # itself, and nothing else
        self.settled()

    def settled(self):
        """When nothing is to be drawn or counted any more."""
        self.page.wait_for_function(IS_SETTLED)

    def now(self):
        self.settled()
        return {
            "view": self.page.evaluate(VIEW),
            "picked": self.page.inner_text("#picked"),
            "title": self.page.inner_text("#statistics h2"),
            "found": self.page.inner_text("#found"),
            "tables": self.page.evaluate(TABLES),
        }


def used(shown):
    page = shown.page
    yield "opened", shown.now()
    page.click("#statistics table tbody td button")  # the worst wait's time
    yield "worst wait", shown.now()
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    box = page.locator(".lane canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    page.mouse.up()
    yield "selected", shown.now()
    page.keyboard.press("Enter")
    yield "zoomed", shown.now()
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    page.keyboard.press("/")
    page.keyboard.type("spin (")
    yield "searched", shown.now()
    page.keyboard.press("Enter")
    yield "match", shown.now()
    page.locator("#search").fill("")
    page.locator("#lanes").focus()
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    for key in ("ArrowUp", "ArrowUp", "ArrowDown"):  # the first thread, and the second
        page.keyboard.press(key)
    page.keyboard.press(".")
    yield "stepped", shown.now()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    yield "moved", shown.now()


def main(chromium, path):
    address = Path(path).as_uri()
    errors = []
    with sync_playwright() as browsers:
        options = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
        browser = browsers.chromium.launch(executable_path=chromium, args=options)
        told = dict(used(Shown(browser, address, errors)))
        for scheme in "light", "dark":
            narrow = {"width": 400, "height": 800}
            shown = Shown(browser, address, errors, color_scheme=scheme, viewport=narrow)
            told[scheme] = shown.page.evaluate(COLOURS)
        browser.close()
    print(json.dumps({**told, "errors": errors}))


main(*sys.argv[1:])
