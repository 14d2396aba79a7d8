"""A progress bar with the time left, on a terminal, for anything that takes over two seconds."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from filterscope.atlas.work import Task

PATIENCE = 2.0
"""Seconds before a bar is shown."""


class Bar:
    """A watcher that shows a bar on standard error, and counts what was written."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self.current: TaskID | None = None
        self.written = 0
        self.begun = time.monotonic()
        self.shown = False

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self.progress.refresh()
            self.progress.stop()

    def stage(self, title: str, unit: str, total: int, done: int) -> None:
        """Begin a new bar."""
        self.current = self.progress.add_task(title, total=total, completed=done, unit=unit)

    def advance(self, amount: int) -> None:
        """Move the bar on."""
        if self.current is None:
            return
        self.progress.advance(self.current, amount)
        # A redirected error stream gets no bar: each refresh would be a line of its own.
        if not self.shown and self.progress.console.is_terminal and time.monotonic() - self.begun > PATIENCE:
            self.progress.start()
            self.shown = True
        if self.shown:
            self.progress.refresh()

    def finished(self, task: Task) -> None:
        """Count a written task."""
        self.written += 1
