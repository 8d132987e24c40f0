"""`python -m foresight_eval`: ALFWorld; see `foresight_eval.runner`."""

from __future__ import annotations

import sys

from foresight_eval.runner import main

if __name__ == "__main__":
    sys.exit(main())
