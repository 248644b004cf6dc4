"""What can go wrong before or while a bilevel problem is solved, said in one sentence that names the cure.

Every error a user can cause is a :class:`BilevelError`; the command line turns each into one line and exit code 2.
"""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(_said(error).split()) or type(error).__name__


def with_its_kind(error: BaseException) -> str:
    """What an exception is and says: ``ValueError: no such layer``, and its kind alone where it says nothing."""
    return f"{type(error).__name__}: {_said(error)}".removesuffix(": ")


def _said(error: BaseException) -> str:
    """Its text; an exception of the user's own may fail at that, too."""
    try:
        return str(error)
    except Exception:
        return ""


class BilevelError(Exception):
    """Base of every error this package raises on purpose."""


class ModelError(BilevelError):
    """The model cannot mean what a bilevel problem needs it to mean; names the component and the cure."""


class AnswerError(ModelError):
    """A response function's answer is of another shape than the follower's variables; says what is expected."""


class UntranslatableError(ModelError):
    """An expression holds something that has no compiled form."""


class SpaceError(BilevelError):
    """The upper search space is unbounded, empty or badly declared."""


class LoadingError(BilevelError):
    """A model file does not exist, does not parse, raises, or holds no model."""


class RefusedError(BilevelError):
    """A method, treatment or engine does not accept this problem; says why and what does."""


class UnknownNameError(BilevelError):
    """No part is registered under a name; lists the names there are."""


class OptionError(BilevelError):
    """An option does not exist or has a value out of its range."""


class StudyError(BilevelError):
    """A stored study cannot be read or written, or is that of another run."""
