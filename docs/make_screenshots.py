"""Take the pictures of the page that the documents show, from a report of the demo.

Run: filterscope demo --out demo.atlas && python docs/make_screenshots.py demo.report/index.html
The view of a diagnosis is in the report of an atlas that fs.diagnose went on with: --diagnosed OTHER.report/index.html
The page of a trim is that of filterscope trim demo --images DRAWN --keep 0.7 --out SMALL: --trimmed SMALL/index.html
"""

import argparse
import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).parent / "images"
LARGEST = 350_000
"""Bytes of a picture: a page with several of them still opens at once."""

DRAWN = """() => {
    const near = (canvas) => {
        const box = canvas.getBoundingClientRect();
        return box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    };
    if (document.querySelector('main .loading')) return false;
    const all = [...document.querySelectorAll('main canvas')].filter(near);
    return all.length > 0 && all.every((canvas) => 'drawn' in canvas.dataset);
}"""
LOADED = "() => [...document.images].every((one) => one.loading !== 'lazy' || one.complete || one.y > innerHeight)"
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@dataclass(frozen=True)
class Shot:
    """One picture: the file, the address it is of, the size of the screen in CSS pixels."""

    file: str
    address: str
    theme: str = "light"
    width: int = 1280
    height: int = 800
    sharpness: int = 1
    ready: str = DRAWN


def shots(layer: str, unit: int, other: int, name: str) -> list[Shot]:
    """All of them."""
    filter_ = f"#/{layer}/{unit}"
    phone: dict[str, Any] = {"width": 390, "height": 780, "sharpness": 2}
    return [
        Shot("page_overview.png", "#/"),
        Shot("page_overview_dark.png", "#/", theme="dark"),
        Shot("page_overview_phone.png", "#/", **phone),
        Shot("page_layers.png", "#/~network"),
        Shot("page_layer.png", f"#/{layer}?sort=activation_max"),
        Shot("page_maps.png", f"#/{layer}?tile=map&sort=image_max", height=700),
        Shot("page_filter.png", filter_, height=1180),
        Shot("page_filter_phone.png", filter_, **phone),
        Shot("page_class.png", f"#/~class/{name}"),
        Shot("page_compare.png", f"#/~compare/{layer}:{unit}/{layer}:{other}", height=1000),
    ]


DIAGNOSIS = Shot("page_diagnosis.png", "#/~diagnosis?open=near,family", height=1200)
TRIMMED = (
    Shot("page_trim.png", "", height=860, ready=LOADED),
    Shot("page_trim_gone.png", "#gone", height=760, ready=LOADED),
)


def main() -> None:
    """Take them, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, nargs="?", help="index.html of a report of the demo; default: none of it")
    parser.add_argument(
        "--diagnosed", type=Path, help="index.html of a report with a diagnosis; default: no picture of it"
    )
    parser.add_argument("--trimmed", type=Path, help="index.html of a trimmed network; default: no picture of it")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--layer", default="block3.conv3", help="whose filters are shown")
    parser.add_argument("--unit", type=int, default=5, help="the filter that is shown")
    parser.add_argument("--other", type=int, default=7, help="the filter that it is compared with")
    parser.add_argument("--class", dest="name", default="tiger", help="the class that is shown")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"), help="browser")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        own = shots(options.layer, options.unit, options.other, options.name) if options.report else []
        every = [(options.report, shot) for shot in own]
        if options.diagnosed:
            every.append((options.diagnosed, DIAGNOSIS))
        if options.trimmed:
            every += [(options.trimmed, shot) for shot in TRIMMED]
        for report, shot in every:
            file = options.out / shot.file
            file.write_bytes(small(taken(browser, report.resolve().as_uri(), shot)))
            sys.stdout.write(f"{file}: {file.stat().st_size / 1000:.0f} kB\n")
        browser.close()


def taken(browser: Browser, report: str, shot: Shot) -> bytes:
    """The screen as PNG, once every picture on it is drawn."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        device_scale_factor=shot.sharpness,
        color_scheme="dark" if shot.theme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(report + shot.address)
    page.wait_for_selector("main h1")
    page.wait_for_function(shot.ready)
    picture = page.screenshot()
    context.close()
    return picture


def small(png: bytes) -> bytes:
    """The same picture in as few colours as it takes to be small enough, if need be."""
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    found = packed(picture)
    for colours in (256, 192, 128, 64):
        if len(found) <= LARGEST:
            break
        found = packed(picture.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG))
    return found


def packed(picture: Image.Image) -> bytes:
    """As PNG, tried hard."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
