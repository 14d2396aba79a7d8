"""How fast a report is: from opening it to its first view, and from a key to the next filter's picture.

Usage: python benchmarks/page.py REPORT/index.html [--times 7] [--chromium PATH]

It is measured in the page itself, at the animation frame in which the pictures are on their canvases, in a browser
context of its own each time: nothing is kept from before.
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

FIRST_VIEW, KEY = 1000.0, 100.0
"""Milliseconds that were promised for squeezenet1_1, with optima of all of its layers."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

WATCH = """() => {
    const near = (canvas) => {
        const box = canvas.getBoundingClientRect();
        return box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    };
    // At every frame: the first one in which everything on the screen is drawn is kept.
    window.whenDrawn = (selector, began) => new Promise((done, fail) => {
        setTimeout(() => fail(new Error(`${selector} is not drawn after 20 s at ${location.hash}`)), 20000);
        const look = () => {
            const all = [...document.querySelectorAll(selector)].filter(near);
            if (all.length && all.every((canvas) => 'drawn' in canvas.dataset)) done(performance.now() - began);
            else requestAnimationFrame(look);
        };
        look();
    });
    window.firstView = whenDrawn('.depth-column canvas.strip', 0);
    addEventListener('keydown', () => {
        const began = performance.now();
        const before = location.hash;
        // What is on the screen now is not what the key asks for.
        for (const canvas of document.querySelectorAll('canvas.large')) delete canvas.dataset.drawn;
        window.afterKey = new Promise((done) => addEventListener('hashchange', done, {once: true}))
            .then(() => whenDrawn('.filter-view canvas.large', began));
    }, {capture: true});
}"""


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="index.html of a report, or a single file")
    parser.add_argument("--times", type=int, default=7, help="how often each is measured")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"), help="browser")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        print(f"{options.report}, {browser.version}, median of {options.times} (least to most), ms")
        url = options.report.resolve().as_uri()
        tell("first view", measured(browser, options.times, partial(first_view, url=url)), FIRST_VIEW)
        for name, key in (("ArrowRight, the next filter", "ArrowRight"), ("o, the next layer", "o")):
            tell(name, measured(browser, options.times, partial(after_key, url=url, key=key)), KEY)
        browser.close()


def measured(browser: Browser, times: int, measure: Callable[[Page], float]) -> list[float]:
    """What ``measure`` gives in fresh browser contexts; the first, which starts processes, is left out."""
    found = []
    for _ in range(times + 1):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_init_script(f"({WATCH})()")
        found.append(measure(context.new_page()))
        context.close()
    return found[1:]


def first_view(page: Page, url: str) -> float:
    """Milliseconds from the navigation until every column on the screen is drawn."""
    page.goto(url)
    return float(page.evaluate("() => window.firstView"))


def after_key(page: Page, url: str, key: str) -> float:
    """Milliseconds from a key to the large picture of the filter that it leads to."""
    page.goto(url)
    page.evaluate("() => window.firstView")
    layers: list[Any] = page.locator(".depth-column").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    page.evaluate("address => { location.hash = address; }", f"{layers[len(layers) // 2]}/5")
    page.evaluate("() => window.whenDrawn('.filter-view canvas.large', 0)")
    # As when a reader has looked at it for a moment.
    time.sleep(0.3)
    page.keyboard.press(key)
    return float(page.evaluate("() => window.afterKey"))


def tell(name: str, times: list[float], promised: float) -> None:
    """One line of the result."""
    median = statistics.median(times)
    print(f"{name:28} {median:6.0f} ({min(times):.0f} to {max(times):.0f}); asked for: at most {promised:.0f}")


if __name__ == "__main__":
    main()
