"""``python -m bilevel.study list study.log``: what is in a study, and what counts of it."""

from __future__ import annotations

import sys

from bilevel.command_line.setting_aside import redo, skip

__all__ = ["redo", "skip"]

if __name__ == "__main__":
    from bilevel.command_line.studies import main

    sys.exit(main())
