"""Studies in a journal file: Optuna's own embedded format, an operation a line."""

from __future__ import annotations

from typing import Any

from bilevel.contracts.storage import Kept, Storage
from bilevel.registry import register
from bilevel.solvers.storages.trials.journal_file import JournalFile, insist_on_folder


@register("journal")
class Journal(Storage):
    """A journal file on this machine or a shared disk: ``study.log``, ``journal:///an/absolute/study.log``.

    Take it when what was evaluated must outlast the run and a file will do, which is nearly always; ``sqlite`` is the
    file that other programs query.
    """

    def open(self, address: Any, name: str) -> Kept:
        return JournalFile(insist_on_folder(str(address).removeprefix("journal://")), name)
