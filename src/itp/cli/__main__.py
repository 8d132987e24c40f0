"""`python -m itp.cli`: the `itp` command where its script is not on the path."""

from __future__ import annotations

import sys

from itp.cli.main import main

sys.exit(main())
