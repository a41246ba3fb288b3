"""`make fleet-test`: every test of this folder, one after the other; arguments go to pytest, files in place of all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ops.console import ROOT

if __name__ == "__main__":
    chosen = any(Path(word.partition("::")[0]).exists() for word in sys.argv[1:])
    folder = [] if chosen else [str(ROOT / "tests" / "fleet")]
    sys.exit(pytest.main(["-q", "-p", "no:pytest-brownie", "-p", "no:cacheprovider", *folder, *sys.argv[1:]]))
