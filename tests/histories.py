"""Runs that are interrupted, and histories as text."""

from bilevel.contracts.observer import Observer


class StopAt(Observer):
    """Presses Ctrl-C after so many evaluations."""

    def __init__(self, count):
        self.count = count

    def evaluated(self, archive):
        if len(archive) == self.count:
            raise KeyboardInterrupt


def told(result):
    """All of a history but the clock."""
    rows = [{name: getattr(e, name) for name in e.__dataclass_fields__ if name != "seconds"} for e in result.history]
    return [repr(row) for row in rows]
