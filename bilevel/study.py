"""``python -m bilevel.study list study.log``: what is in a study."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from bilevel.command_line.studies import main

    sys.exit(main())
