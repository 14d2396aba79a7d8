"""Run tasks one after the other in this process."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Engine(Protocol):
    """Runs tasks anywhere; the answers come back in the order of the tasks, as soon as they are there.

    Tasks come lazily: one that takes over the results of earlier ones is complete only when these have been taken.
    """

    def run(self, tasks: Iterable[T], work: Callable[[T], R]) -> Iterator[tuple[T, R]]:
        """Apply ``work`` to every task. ``work`` and tasks can be pickled; ``work`` is sent to each worker once."""
        ...


class LocalEngine:
    """The tasks run in this process, the next one when the answer of the one before has been taken."""

    def run(self, tasks: Iterable[T], work: Callable[[T], R]) -> Iterator[tuple[T, R]]:
        """Yield each task with its answer.

        Example:
            >>> list(LocalEngine().run([1, 2], lambda number: number * 10))
            [(1, 10), (2, 20)]
        """
        for task in tasks:
            yield task, work(task)
