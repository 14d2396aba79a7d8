"""Write the reference pages from the code: `python docs/make_reference.py` (a test holds them to be current)."""

import ast
import inspect
import re
import sqlite3
import textwrap
import tomllib
import typing
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from filterscope import PUBLIC
from filterscope.atlas import schema
from filterscope.atlas.records import TABLES

DOCS = Path(__file__).parent
NOTE = "<!-- Made by docs/make_reference.py; change the code (or docs/columns.toml) and run it again. -->"

LENS = {
    "filterscope.lenses": ("Lens", "Stage", "Workbench", "digest"),
    "filterscope.atlas.records": ("Record",),
    "filterscope.atlas.work": ("Task", "Result", "Picture", "Card"),
    "filterscope.model": ("ReceptiveField", "Window", "receptive_field"),
}
"""What a lens of one's own is made of, beneath the public names."""

RECIPE = {
    "filterscope.ascent.recipes": ("quick", "full", "keras2017", "yosinski", "lucid", "maco"),
    "filterscope.ascent.parametrisations": ("fourier", "pixels", "phases", "natural_magnitude"),
    "filterscope.ascent.transforms": ("chain", "pad", "jitter", "crop", "scale", "rotate", "crops", "noise"),
    "filterscope.ascent.regularisers": ("decay", "blur", "clip_small_norm", "clip_small_contribution"),
    "filterscope.ascent.optimisers": ("momentum", "adam", "steepest"),
}
"""The presets, and what a recipe of one's own is made of."""

BELOW = (
    ("## Beneath: lenses", "What [a lens of your own](../how-to/write-your-own-lens.md) is made of.", LENS),
    (
        "## Beneath: recipes",
        "The presets, and what [a recipe of your own](../how-to/make-an-optimum.md#a-recipe-of-your-own) is made of.",
        RECIPE,
    ),
)
"""Parts of the page after the public names: title, first sentence, names by module."""


def main() -> None:
    """Write every page."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def pages() -> dict[Path, str]:
    """Every generated page with its text."""
    made = {"atlas.md": atlas_page, "commands.md": commands_page, "python.md": python_page}
    return {DOCS / "reference" / name: make() for name, make in made.items()}


def atlas_page() -> str:
    """The tables of an atlas."""
    meanings = tomllib.loads((DOCS / "columns.toml").read_text(encoding="utf-8"))
    documented = {record.table: inspect.cleandoc(record.__doc__ or "") for record in TABLES}
    tables = tables_of_an_empty_atlas()
    if set(tables) != set(meanings):
        raise SystemExit(f"docs/columns.toml has other tables than an atlas: {set(tables) ^ set(meanings)}")
    parts = [
        f"# The atlas\n\n{NOTE}",
        f"`NAME.atlas/` is a folder: `atlas.sqlite` (schema version {schema.VERSION}), `sheets/` with a PNG per layer "
        "and lens, and `writer.lock`, which a writing process holds. Any SQLite tool reads the tables; see "
        "[read an atlas without torch](../how-to/read-an-atlas-without-torch.md).",
        "Pairs and lists are JSON text: `[3, 3]` is `[height, width]`. A unit is named by `layer` and `unit`; the text "
        "form is `LAYER:INDEX`.",
    ]
    for name in [*documented, *(table for table in tables if table not in documented)]:
        about = markdown(documented.get(name) or meanings[name][""])
        parts.append(f"## {name}\n\n{about}\n\n{column_table(name, tables[name], meanings[name])}")
    return "\n\n".join(parts) + "\n"


Column = tuple[str, str, bool, bool]
"""Name, SQL type, may be null, belongs to the key."""


def tables_of_an_empty_atlas() -> dict[str, list[Column]]:
    """What SQLite itself says of the tables."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema.create_statements())
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [(row[1], row[2], not row[3] and not row[5], bool(row[5])) for row in columns]
            for name in names
            if (columns := connection.execute(f'PRAGMA table_info("{name}")').fetchall())
        }
    finally:
        connection.close()


def column_table(table: str, columns: list[Column], meanings: dict[str, str]) -> str:
    """The columns of one table as Markdown."""
    wanted = {name for name, *_ in columns}
    told = {name for name in meanings if name}
    if wanted != told:
        raise SystemExit(f"docs/columns.toml has other columns of {table} than an atlas: {wanted ^ told}")
    rows = [
        (f"`{name}`{' (key)' if key else ''}", f"{kind}{', or null' if nullable else ''}", meanings[name])
        for name, kind, nullable, key in columns
    ]
    return as_table(("column", "type", "meaning"), rows)


def commands_page() -> str:
    """Every command with its arguments and options, as its help tells them."""
    # Here, since a package attribute hides the module of the same name.
    app = import_module("filterscope.commands.main").app
    parts = [
        f"# Commands\n\n{NOTE}",
        "`filterscope --help` and `filterscope COMMAND --help` (or `-h`) show the same. `filterscope --version` shows "
        "the version; `--install-completion` and `--show-completion` serve the shell.",
        "The exit code is 0 when all is done, 1 when a check says no, 2 when what was given cannot be used (standard "
        "error then says what is allowed and what to do next), 130 after Ctrl-C.",
    ]
    for command in app.registered_commands:
        function = command.callback
        arguments, options = split(function)
        usage = " ".join(["filterscope", function.__name__, *(row[0].strip("`") for row in arguments), "[OPTIONS]"])
        tables = [as_table(("argument or option", "default", "meaning"), [*arguments, *options])]
        text = textwrap.dedent(markdown(inspect.cleandoc(function.__doc__ or "")))
        parts.append("\n\n".join([f"## filterscope {function.__name__}", text, f"```text\n{usage}\n```", *tables]))
    return "\n\n".join(parts) + "\n"


Row = tuple[str, str, str]


def split(function: Callable[..., Any]) -> tuple[list[Row], list[Row]]:
    """A command's arguments and options as rows of a table."""
    arguments, options = [], []
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        (told,) = hints[name].__metadata__
        if type(told).__name__ == "ArgumentInfo":
            arguments.append((f"`{told.metavar}`", "", told.help))
            continue
        flag = isinstance(parameter.default, bool)
        # Within Annotated, typer takes the first declaration for the default until the command is built.
        declared = [one for one in (told.default, *(told.param_decls or ())) if str(one).startswith("--")]
        option = next(iter(declared), f"--{name.replace('_', '-')}")
        bounds = [f"{word} {bound}" for word, bound in (("from", told.min), ("to", told.max)) if bound is not None]
        value = "" if flag else f" {told.metavar or name.upper()}"
        default = "" if flag or parameter.default is None else f"`{parameter.default}`"
        options.append((f"`{option}{value}`", default, told.help + (f" ({' '.join(bounds)})" if bounds else "")))
    return arguments, options


def python_page() -> str:
    """Every public name with signature and documentation."""
    parts = [
        f"# Python\n\n{NOTE}",
        "```python\nimport filterscope as fs\n```",
        "A name is imported on first use: `import filterscope` and reading an atlas do not load torch. Lengths are in "
        "pixels, pairs are (height, width).",
    ]
    parts += [section(f"fs.{name}", f"filterscope.{module}", name) for name, module in sorted(PUBLIC.items())]
    for title, about, names_of in BELOW:
        parts.append(f"{title}\n\n{about} These names may change before version 1.0.")
        parts += [
            section(f"{module}.{name}", module, name, level=3) for module, names in names_of.items() for name in names
        ]
    return "\n\n".join(parts) + "\n"


def section(title: str, module: str, name: str, level: int = 2) -> str:
    """One name: its signature as it is written in the code, its docstring, its public methods."""
    thing = getattr(import_module(module), name)
    node = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    parts = [f"{'#' * level} {title}"]
    if isinstance(node, ast.FunctionDef):
        return "\n\n".join([*parts, fenced(signature(node, name)), markdown(inspect.cleandoc(thing.__doc__ or ""))])
    assert isinstance(node, ast.ClassDef)
    shown = constructor(node, title)
    parts += [*([fenced(shown)] if shown else []), markdown(inspect.cleandoc(thing.__doc__ or ""))]
    members = list(methods(node))
    if members:
        parts.append("\n".join(["**Members**", "", *members]))
    return "\n\n".join(parts)


def signature(node: ast.FunctionDef, name: str) -> str:
    """``name(...) -> ...``, broken where it is long."""
    arguments = [argument for argument in split_arguments(node) if argument not in ("self", "cls")]
    end = f") -> {ast.unparse(node.returns)}" if node.returns else ")"
    line = f"{name}({', '.join(arguments)}{end}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {one},\n" for one in arguments) + end


def split_arguments(node: ast.FunctionDef) -> Iterator[str]:
    """The parameters one by one, each with annotation and default."""
    given = node.args
    defaults = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    for argument, default in zip(given.args, defaults, strict=True):
        yield parameter(argument, default)
    if given.vararg:
        yield f"*{ast.unparse(given.vararg)}"
    elif given.kwonlyargs:
        yield "*"
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield parameter(argument, default)
    if given.kwarg:
        yield f"**{ast.unparse(given.kwarg)}"


def parameter(argument: ast.arg, default: ast.expr | None) -> str:
    """``name: type = default``."""
    text = ast.unparse(argument)
    return text if default is None else f"{text}{' = ' if argument.annotation else '='}{ast.unparse(default)}"


def constructor(node: ast.ClassDef, title: str) -> str:
    """How an object is made: from ``__init__``, or from the fields of a dataclass; empty where nobody makes one."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            member.returns = None
            return signature(member, title)
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return ""
    fields = [
        ast.unparse(member).replace("\n", " ")
        for member in node.body
        if isinstance(member, ast.AnnAssign) and "ClassVar" not in ast.unparse(member.annotation)
    ]
    line = f"{title}({', '.join(fields)})"
    return line if len(line) <= 100 else f"{title}(\n" + "".join(f"    {one},\n" for one in fields) + ")"


def methods(node: ast.ClassDef) -> Iterator[str]:
    """A line for every public method and property."""
    for member in node.body:
        if not isinstance(member, ast.FunctionDef) or member.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in member.decorator_list}
        is_property = decorators & {"property", "cached_property"}
        shown = member.name if is_property else signature(member, member.name).replace("\n", " ").replace("( ", "(")
        if is_property and member.returns:
            shown += f": {ast.unparse(member.returns)}"
        about = inspect.cleandoc(ast.get_docstring(member) or "").split("\n\n")[0]
        yield f"- `{shown.replace(',)', ')')}`: {' '.join(inline(about).split())}"


SECTIONS = ("Args", "Returns", "Raises", "Source", "Example")
TITLES = {"Args": "Arguments"}


def markdown(docstring: str) -> str:
    """A Google-style docstring as Markdown."""
    parts: list[str] = []
    told = False
    for line in docstring.splitlines():
        title, colon, rest = line.partition(":")
        if colon and title in SECTIONS:
            # What begins behind the colon goes on below it as one paragraph; else a list follows.
            told = bool(rest.strip())
            parts.append(f"\n**{TITLES.get(title, title)}**" + (f": {rest.strip()}" if told else "\n"))
        else:
            told = told and bool(line.strip())
            parts.append(line.strip() if told else line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(body(parts)).strip())


def body(lines: list[str]) -> Iterator[str]:
    """The lines, with entries of a section as a list and examples as code."""
    code: list[str] = []
    for line in lines:
        bare = line.strip()
        if line.startswith("    ") and (bare.startswith((">>>", "...")) or code):
            code.append(re.sub(r"\s*#\s*doctest:.*", "", line[4:]))
            continue
        if code:
            yield from ("```python", *code, "```")
            code = []
        if line.startswith("        "):
            yield f"  {inline(bare)}"
        elif line.startswith("    "):
            entry = re.match(r"([\w, *]+?): (.*)", bare)
            yield f"- `{entry[1]}`: {inline(entry[2])}" if entry else f"- {inline(bare)}"
        else:
            yield inline(line)
    if code:
        yield from ("```python", *code, "```")


def inline(text: str) -> str:
    """Roles and double backquotes as Markdown has them."""
    text = re.sub(r":(?:func|class|meth|mod):`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def fenced(code: str) -> str:
    """A block of Python."""
    return f"```python\n{code}\n```"


def as_table(titles: tuple[str, ...], rows: list[Row]) -> str:
    """A Markdown table; a bar within a cell is escaped."""
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
