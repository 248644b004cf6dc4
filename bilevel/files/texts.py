"""Text files, gzipped or not: what a name's ending says is what is read and written."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from bilevel.errors import LoadingError, OptionError

GZIP = ".gz"


def plain_suffix(path: Path) -> str:
    """The ending that says what is in a file, ``.mps`` of ``a.mps.gz``, in small letters."""
    return Path(path.stem if path.suffix.lower() == GZIP else path.name).suffix.lower()


def plain_stem(path: Path) -> str:
    """The name without that ending, ``a`` of ``a.mps.gz``."""
    return Path(path.stem if path.suffix.lower() == GZIP else path.name).stem


def read_text(path: str | Path, cure: str = "check the name and its permissions") -> str:
    """A file's text, unpacked where its name ends in ``.gz``.

    Raises
    ------
    LoadingError
        If it cannot be read; with the cure given.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        if path.suffix.lower() == GZIP:
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LoadingError(f"{path} is no whole gzip file ({error}); get it again, or drop its .gz") from error
    except OSError as error:
        raise LoadingError(f"{path} cannot be read: {error.strerror}; {cure}") from error
    return data.decode("utf-8", errors="replace")


def write_text(path: str | Path, text: str) -> None:
    """Write a text, packed where the name ends in ``.gz``.

    Raises
    ------
    OptionError
        If it cannot be written.
    """
    path = Path(path)
    data = text.encode("utf-8")
    try:
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix.lower() == GZIP else data)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}; choose another place") from error
