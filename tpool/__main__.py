# SPDX-License-Identifier: MIT
"""`python -m tpool` is `tpool`."""

from __future__ import annotations

import sys

from tpool.cli import main

if __name__ == "__main__":
    sys.exit(main())
