"""The documentation: its examples run, its generated pages are those of the code, its links lead somewhere."""

import contextlib
import doctest
import importlib.util
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import filterscope
from filterscope import inspection, lenses
from filterscope.ascent import recipes
from filterscope.demo.creatures import CLASSES, Creatures
from filterscope.lenses import Perturbations
from filterscope.model import sources

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGE = Path(filterscope.__file__).parent
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.md")])
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, what stands behind it in the first line, its text."""

    language: str
    rest: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w*) ?(.*?)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*parts) for parts in found]


@pytest.fixture(scope="module", autouse=True)
def network_loaded_once():
    """Measuring the demo's receptive fields takes seconds: one network serves all pages."""
    demo = filterscope.load("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "open_bundled", lambda: demo)
        yield


@contextlib.contextmanager
def few_images():
    """Every lens looks at every unit, but in fewer images than it would."""
    few = partial(Perturbations, crops=16, scenes=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(inspection.LENSES, "effective_kernels", partial(filterscope.EffectiveKernels, images=2))
        patch.setitem(inspection.LENSES, "perturbations", few)
        # The command `demo` has a number of its own.
        patch.setattr(lenses, "Perturbations", lambda **_: few())
        yield


@contextlib.contextmanager
def light_work(*layers: str):
    """The same with short ascents, and of all units or of those of some layers."""
    choose, quick = inspection.choose_layers, replace(recipes.quick(), steps=4)
    with pytest.MonkeyPatch.context() as patch, few_images():
        patch.setitem(recipes.PRESETS, "quick", lambda: quick)
        if layers:
            patch.setattr(inspection, "choose_layers", lambda network, asked: choose(network, asked or layers))
        yield


@pytest.fixture(scope="module")
def first_atlas(tmp_path_factory) -> Path:
    """The atlas of the tutorial, made as it says: whatever it says wrongly shows here."""
    folder = tmp_path_factory.mktemp("documents")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch, light_work():
        patch.setenv("COLUMNS", "120")
        run_page(DOCS / "tutorial/first-atlas.md", folder)
    return folder / "first.atlas"


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """An empty folder to run in, with a few photos."""
    creatures = Creatures(14, seed=4)
    for number, (pixels, label) in enumerate(creatures):
        file = tmp_path / "photos" / CLASSES[label] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    monkeypatch.chdir(tmp_path)
    # Without a fixed width pandas asks the terminal.
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def command_output(line: str) -> str:
    """What a `filterscope` command prints, on both streams; it runs in this process, which has torch already."""
    from filterscope.commands import main

    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        patch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as end:
            main()
    wrong = re.search("^filterscope: ", printed.getvalue(), re.MULTILINE)
    assert end.value.code == (2 if wrong else 0), printed.getvalue()
    return printed.getvalue()


def run_console(text: str) -> None:
    """Run every `$ command` and compare what it prints with what stands below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        printed = command_output(command)
        assert doctest.OutputChecker().check_output(expected, printed, LOOSE), f"$ {command}\n{printed}"


def run_python(text: str, names: dict, where: str) -> None:
    """Run a block in the names of those before it; with prompts, compare what it prints."""
    if ">>> " not in text:
        exec(compile(text, where, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(text, names, where, None, 0)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=LOOSE, verbose=False).run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert result.failed == 0, "".join(report)


def run_page(page: Path, folder: Path) -> None:
    """Run a page from top to bottom; a block with a file name is written to it."""
    names: dict = {"__name__": page.stem}
    for block in blocks(page):
        if block.rest and block.language in ("python", "toml", "json"):
            (folder / block.rest).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.rest).write_text(block.text)
        elif block.language == "console":
            run_console(block.text)
        elif block.language == "python":
            run_python(block.text, names, str(page))


@pytest.mark.parametrize(
    "page",
    [
        "how-to/inspect-your-own-network",
        "how-to/make-an-optimum",
        "how-to/resume-and-share",
    ],
)
def test_the_page_does_what_it_says(page, workplace):
    with few_images() if page == "how-to/make-an-optimum" else light_work():
        run_page(DOCS / f"{page}.md", workplace)


def test_a_network_is_trimmed_as_the_page_says(workplace, monkeypatch):
    from filterscope.surgery import speed
    from filterscope.surgery.forms import Forms

    monkeypatch.setattr(speed, "MOST", 6)
    monkeypatch.setattr(sys, "path", [*sys.path])
    # It takes seconds, and the test of the command does it.
    monkeypatch.setattr(Forms, "_exported", lambda self: 1 / 0)
    with light_work():
        run_page(DOCS / "how-to/trim.md", workplace)
    sys.modules.pop("build")


def test_the_tutorial_does_what_it_says(first_atlas):
    assert (first_atlas / "atlas.sqlite").is_file()


def test_two_classes_are_told_apart_as_the_page_says(workplace):
    run_page(DOCS / "tutorial/two-classes.md", workplace)
    assert (workplace / "why/difference.png").is_file()


def test_the_pictures_of_the_reconstruction_can_be_made_again(monkeypatch):
    made = loaded("make_reconstruction_pictures")
    monkeypatch.setattr(made, "MANY", 3)
    monkeypatch.setattr(made, "SHIFT", 1)
    network = filterscope.load("demo")
    for name, draw in [("two_classes", made.two_classes), ("means", made.means), ("difference", made.difference)]:
        with Image.open(DOCS / f"images/reconstruction_{name}.png") as committed:
            assert committed.size == draw(network).size
            assert np.asarray(committed.convert("RGB")).std() > 20


def test_figures_are_made_as_the_page_says(first_atlas, workplace):
    (workplace / "first.atlas").symlink_to(first_atlas)
    run_page(DOCS / "how-to/make-a-figure.md", workplace)
    names = {"filter.pdf", "filters.svg", "layer.png", "quiet.png", "kernels.png", "filter.svg"}
    assert names <= {path.name for path in workplace.iterdir()}


def test_the_formula_in_the_explanation_gives_what_it_says(workplace):
    run_page(DOCS / "explanation/receptive-fields.md", workplace)


@pytest.mark.parametrize(
    "page",
    [
        "activations",
        "back-projection",
        "effective-kernels",
        "classic-filters",
        "faces",
        "fine-tuning",
        "functions",
        "generalisation",
        "trim",
        "tuning",
    ],
)
def test_python_on_the_page_of_a_method_runs(page, workplace):
    with few_images() if page == "functions" else contextlib.nullcontext():
        run_page(DOCS / f"explanation/{page}.md", workplace)


def test_a_wrong_answer_on_a_page_is_noticed(workplace):
    (workplace / "wrong.md").write_text("```python\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(AssertionError, match="Expected"):
        run_page(workplace / "wrong.md", workplace)
    with pytest.raises(AssertionError, match="filterscope --version"):
        run_console("$ filterscope --version\n9.9.9\n")


def test_the_readme_does_what_it_says(workplace, capsys):
    # The tutorial looks at all twelve layers.
    with light_work("block1.conv1", "block5.conv2"):
        run_page(ROOT / "README.md", workplace)
    assert "block5.conv2" in capsys.readouterr().out


def test_an_atlas_is_read_without_torch_as_the_page_says(first_atlas):
    """In a process of its own: this one has torch."""
    parts = [
        "import sys, doctest",
        f"sys.path.insert(0, {str(ROOT / 'src')!r})",
        *(
            f"exec(compile({block.text!r}, 'page', 'exec'))"
            if ">>> " not in block.text
            else f"test = doctest.DocTestParser().get_doctest({block.text!r}, dict(globals()), 'page', None, 0)\n"
            "assert doctest.DocTestRunner().run(test).failed == 0"
            for block in blocks(DOCS / "how-to/read-an-atlas-without-torch.md")
            if block.language == "python"
        ),
        "assert len(quiet) == 10 and means.shape[1] == 14 and picture.shape == (60, 60, 3) and len(patches) == 448",
        "assert 'torch' not in sys.modules",
    ]
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)], cwd=first_atlas.parent, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_lens_of_the_page_works_when_it_is_added_as_the_page_says(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "src/filterscope", ignore=shutil.ignore_patterns("__pycache__", "checkpoints"))
    script = ""
    for block in blocks(DOCS / "how-to/write-your-own-lens.md"):
        if block.language == "diff":
            apply(block.text, tmp_path / block.rest)
        elif block.rest.startswith("insert "):
            file = tmp_path / block.rest.removeprefix("insert ")
            file.write_text(file.read_text().replace("\nTABLES: ", f"\n{block.text}\n\nTABLES: "))
        elif block.rest == "run":
            script = block.text
        elif block.language == "python":
            (tmp_path / block.rest).write_text(block.text)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "mirror.atlas/atlas.sqlite").is_file()


def apply(diff: str, file: Path) -> None:
    """Replace the lines with a minus, which must be there, by those with a plus."""
    old, new = ("".join(line[1:] for line in diff.splitlines(True) if line[0] == sign) for sign in "-+")
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has not just once: {old}"
    file.write_text(text.replace(old, new))


def run_example(name: str, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


def test_the_example_with_a_network_of_its_own_sees_its_dilated_branch(workplace, capsys):
    run_example("look_into_your_network.py")
    printed = capsys.readouterr().out
    assert "stem: 8 units, see (5, 5) pixels, observed at norm" in printed
    # By hand: 5 px, then two more taps, 2 positions apart, of 2 pixels each.
    assert "right: 8 units, see (13, 13) pixels" in printed


def test_the_example_that_questions_an_atlas_names_classes(first_atlas, capsys):
    run_example("query_an_atlas.py", str(first_atlas))
    printed = capsys.readouterr().out
    assert "demo: 12 layers, 448 units" in printed
    assert any(name in printed for name in CLASSES)


def test_the_example_that_makes_optima_shows_a_class_that_is_reached(workplace, capsys):
    run_example("optimum.py", "three.png")
    printed = capsys.readouterr().out
    assert printed.count(" in its layer") == 2
    assert float(re.search("tiger: .* probability ([0-9.]+)", printed)[1]) > 0.9
    with Image.open("three.png") as made:
        left, middle, right = (np.asarray(made)[:, start : start + 256] for start in (0, 264, 528))
    assert all(part.std() > 20 for part in (left, middle, right))


def test_the_picture_of_the_readme_can_be_made_again(first_atlas, tmp_path, capsys):
    run_example("readme_picture.py", str(first_atlas), str(tmp_path / "filters.png"))
    with Image.open(tmp_path / "filters.png") as made, Image.open(DOCS / "images/filters.png") as committed:
        assert made.size == committed.size
        assert np.asarray(committed).std() > 20


def test_every_example_is_run_here():
    text = Path(__file__).read_text()
    assert all(f'"{path.name}"' in text for path in (ROOT / "examples").glob("*.py"))


def loaded(name: str):
    """A script of the documents as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    return loaded("make_reference").pages()


@pytest.mark.parametrize("name", ["atlas", "commands", "python"])
def test_the_reference_is_that_of_the_code(name, generated):
    page = DOCS / f"reference/{name}.md"
    assert page.read_text(encoding="utf-8") == generated[page], "run: python docs/make_reference.py"


def test_every_command_and_option_is_in_the_reference():
    page = (DOCS / "reference/commands.md").read_text()
    commands = re.findall(r"^  (\w+)  ", command_output("filterscope --help").partition("Commands:")[2], re.MULTILINE)
    assert {"demo", "layers", "inspect", "optimum"} <= set(commands)
    for command in commands:
        section = page.partition(f"## filterscope {command}\n")[2].partition("\n## ")[0]
        options = set(
            re.findall(r"^ +(?:-\w, )?(--[\w-]+)", command_output(f"filterscope {command} --help"), re.MULTILINE)
        )
        assert len(options) > 1
        for option in options - {"--help"}:
            assert f"| `{option}" in section, f"{command} {option}"


def test_every_public_name_is_in_the_reference():
    page = (DOCS / "reference/python.md").read_text()
    assert all(f"## fs.{name}\n" in page for name in filterscope.__all__)


def anchor(heading: str) -> str:
    """How a heading is linked to: lower case, hyphens for spaces, nothing else but letters and digits."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name} links to {target}"
        if heading:
            assert heading in map(anchor, re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)), (
                target
            )


def test_both_readmes_have_the_same_code_headings_and_links():
    english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"

    def parts(page: Path):
        text = page.read_text(encoding="utf-8")
        code = [(block.language, re.sub(r"\s*#.*", "", block.text)) for block in blocks(page)]
        headings = re.findall(
            r"^(#+) ", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
        )
        return code, headings, re.findall(r"\]\(([^)]+)\)", text)

    assert parts(english) == parts(chinese)


def test_the_readme_of_a_package_folder_is_short():
    assert all(len(page.read_text().splitlines()) <= 20 for page in PACKAGE.rglob("README.md"))
