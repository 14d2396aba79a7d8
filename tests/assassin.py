"""A run that dies before its time, for the tests of going on afterwards."""


class Killed(BaseException):
    """What the process dies of."""


class Assassin:
    """A watcher that ends the run when so many tasks are written."""

    def __init__(self, after: int) -> None:
        self.left = after

    def stage(self, *about: object) -> None: ...

    def advance(self, amount: int) -> None: ...

    def finished(self, task: object) -> None:
        self.left -= 1
        if not self.left:
            raise Killed
