"""The atlas that `--force` replaces: set aside, and brought back if the new one comes to nothing. No torch."""

import shutil
from pathlib import Path

DATABASE, SHEETS, PREVIOUS = "atlas.sqlite", "sheets", "previous"


def set_aside(folder: Path) -> None:
    """Move the atlas in ``folder`` out of the way; if one lies there already, what was begun since is dropped."""
    if (folder / PREVIOUS).exists():
        clear(folder)
        return
    present = [folder / name for name in (SHEETS, DATABASE) if (folder / name).exists()]
    if present:
        (folder / PREVIOUS).mkdir()
        for path in present:
            path.rename(folder / PREVIOUS / path.name)


def bring_back(folder: Path) -> None:
    """Put what was set aside in its place again; what was begun instead of it goes."""
    if not (folder / PREVIOUS).exists():
        return
    for path in (folder / PREVIOUS).iterdir():
        remove(folder / path.name)
        path.rename(folder / path.name)
    (folder / PREVIOUS).rmdir()


def forget(folder: Path) -> None:
    """The new atlas is whole: the old one goes."""
    remove(folder / PREVIOUS)


def clear(folder: Path) -> None:
    """Remove what an atlas consists of from ``folder``, and nothing else."""
    for name in (DATABASE, SHEETS):
        remove(folder / name)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
