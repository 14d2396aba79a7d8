"""The page around the data: its head, its policy, and the built bundle that it runs."""

import base64
import hashlib
import html
from dataclasses import dataclass
from pathlib import Path

from filterscope.errors import FilterscopeError

STATIC = Path(__file__).parent / "static"
"""Where the built bundle lies, within the package."""

MARK = "filterscope-report"
"""Name of the meta tag by which a report is known; its content says of which networks it is."""

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%231f5fa8'/%3E"
    "%3Cg fill='%23fff'%3E%3Crect x='3' y='3' width='2' height='10'/%3E%3Crect x='7' y='5' width='2' height='8' "
    "opacity='.8'/%3E%3Crect x='11' y='8' width='2' height='5' opacity='.6'/%3E%3C/g%3E%3C/svg%3E"
)

WITHOUT_SCRIPTS = (
    "This report draws its pictures with JavaScript, which is switched off here; allow it for this page. "
    "Nothing is loaded from the network."
)


@dataclass(frozen=True)
class Bundle:
    """The page's program and its style."""

    script: str
    style: str

    @classmethod
    def built(cls) -> "Bundle":
        """The bundle that came with this installation.

        Raises:
            FilterscopeError: if it is not there.
        """
        try:
            script, style = ((STATIC / name).read_text(encoding="utf-8") for name in ("app.js", "app.css"))
        except FileNotFoundError as error:
            raise FilterscopeError(
                f"the page's program is missing ({error.filename}); install filterscope anew, "
                "or build it in a checkout with: cd web && npm ci && npm run build"
            ) from None
        return cls(script, style)

    @property
    def inline(self) -> "Bundle":
        """The same as it may stand within a page: nothing in it ends a script, a comment or a style."""
        script = self.script.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "\\x3c!--")
        return Bundle(script, self.style.replace("\r\n", "\n").replace("</style", "<\\/style"))


def fingerprint(text: str) -> str:
    """How a policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(script: str, style: str) -> str:
    """What the page may do: run its own script, use its own style, show its own pictures, and nothing else."""
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def head(title: str, mark: str, rules: str) -> str:
    """The beginning of the page, up to where scripts and styles go."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="{MARK}" content="{html.escape(mark)}">
<meta http-equiv="Content-Security-Policy" content="{rules}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{html.escape(title)}</title>
<link rel="icon" href="{ICON}">
"""


BODY = f"""</head>
<body>
<div id="app"></div>
<noscript>{WITHOUT_SCRIPTS}</noscript>
"""

END = """</body>
</html>
"""


def folder_page(title: str, mark: str) -> str:
    """The index.html of the folder form: program, style and data lie beside it."""
    # 'self' is nothing for a page from disk, whose origin is opaque: there, file: is meant.
    rules = policy("'self' file:", "'self' file:")
    links = (
        '<link rel="stylesheet" href="app.css">\n'
        '<script src="app.js" defer></script>\n'
        '<script src="data/index.js" defer></script>\n'
    )
    return head(title, mark, rules) + links + BODY + END


def single_page(title: str, mark: str, bundle: Bundle) -> tuple[str, str]:
    """What comes before the blocks of data in the single file, and what comes after them."""
    own = bundle.inline
    rules = policy(fingerprint(own.script), fingerprint(own.style))
    before = f"{head(title, mark, rules)}<style>{own.style}</style>\n{BODY}"
    return before, f"<script>{own.script}</script>\n{END}"
