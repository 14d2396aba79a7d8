"""A report as a reader opens it: a page in a browser that notes every complaint and everything it asks for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VIEWS = {
    "overview": "#/",
    "layers": "#/~network",
    "layer": "#/block3.conv2",
    "kernels": "#/block3.conv2?tile=kernel",
    "statistics": "#/block3.conv2?tile=statistics&sort=activation_max&where=firing_rate>=0.1",
    "functions": "#/block3.conv2?function=texture&sort=edge",
    "by importance": "#/?by=importance",
    "layers by importance": "#/~network?by=importance",
    "maps": "#/block3.conv2?tile=map&image=3&scale=layer&sort=image_max",
    "filter": "#/block3.conv2/5",
    "filter without an optimum": "#/block5.conv2/5",
    "classes": "#/~classes",
    "class": "#/~class/tiger",
    "class without an image": "#/~class/octopus",
    "diagnosis": "#/~diagnosis?open=equal,family,too many filters,overfits",
    "related filter": "#/block3.conv2/9",
    "two filters": "#/~compare/block3.conv2:5/block5.conv2:9",
    "two layers": "#/~compare/block3.conv2/block5.conv2",
    "nowhere": "#/nowhere",
}
"""One address of every view, of the bundled network."""

DRAWN = """() => {
    const near = (canvas) => {
        const box = canvas.getBoundingClientRect();
        return box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    };
    if (!document.querySelector('main') || document.querySelector('main .loading')) return false;
    return [...document.querySelectorAll('main canvas.tile, main canvas.strip, main canvas.field')]
        .filter(near).every((canvas) => 'drawn' in canvas.dataset || 'empty' in canvas.dataset);
}"""


@dataclass
class Visit:
    """An open page.

    ``said``: what the browser complained of, such as errors in the program and breaches of the page's policy.
    ``asked``: every address that was loaded.
    """

    page: Any
    index: Path
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, address: str = "") -> "Visit":
        """Begin at an address of the report, such as "#/conv1/3", and wait until its pictures are there."""
        page = self.page
        page.on("console", lambda message: self.said.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        # What is being read ahead when a page is left is broken off: that is no failure.
        page.on(
            "requestfailed",
            lambda request: None if "ABORTED" in request.failure else self.said.append(f"failed: {request.url[:200]}"),
        )
        page.on("request", lambda request: self.asked.append(request.url[:200]))
        page.goto(self.index.as_uri() + address)
        return self.settled()

    def go(self, address: str) -> "Visit":
        """Move to another address, as a click on a link does."""
        self.page.evaluate("address => { location.hash = address; }", address)
        return self.settled()

    def settled(self) -> "Visit":
        """Wait until the view that the address names is there, and every picture on the screen is drawn."""
        # One turn of the browser's loop for the address, one for the view.
        self.page.evaluate("() => new Promise((done) => setTimeout(() => requestAnimationFrame(() => done()), 30))")
        self.page.wait_for_function(DRAWN, timeout=10_000)
        return self

    def press(self, *keys: str) -> "Visit":
        """Press keys one after the other, as fast as the page follows."""
        for key in keys:
            self.page.keyboard.press(key)
            self.settled()
        return self

    @property
    def address(self) -> str:
        """What stands behind the # now."""
        return str(self.page.evaluate("decodeURIComponent(location.hash)"))

    @property
    def focused(self) -> str:
        """How the focused element is called for those who do not see it."""
        return str(
            self.page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
            )
        )

    def text(self, selector: str = "main") -> str:
        """What is read there."""
        return str(self.page.locator(selector).first.inner_text())

    def texts(self, selector: str) -> list[str]:
        """What is read in each of the elements."""
        return [str(text) for text in self.page.locator(selector).all_inner_texts()]

    def overflow(self) -> int:
        """By how many pixels the document is wider than the screen."""
        # The room kept for the scroll bar makes the difference negative.
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return max(int(wide), 0)
