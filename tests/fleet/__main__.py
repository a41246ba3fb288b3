"""`make fleet-test`: every test of this folder, one after the other; arguments go to pytest."""

from __future__ import annotations

import sys

import pytest

from ops.console import ROOT

if __name__ == "__main__":
    sys.exit(
        pytest.main(
            ["-q", "-p", "no:pytest-brownie", "-p", "no:cacheprovider", str(ROOT / "tests" / "fleet"), *sys.argv[1:]]
        )
    )
