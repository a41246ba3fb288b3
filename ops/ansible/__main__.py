"""`python -m ops.ansible`: print the folder of Ansible's programs; installs them where they are missing."""

from __future__ import annotations

import sys

from ops.ansible import ensure_ansible
from ops.console import guarded


def main() -> int:
    """Entry point."""
    print(ensure_ansible())
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
