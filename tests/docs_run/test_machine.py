"""What the documentation does to a machine before there is anything of ours on it: packages and the clone."""

from __future__ import annotations

import subprocess

import pytest

from ops.console import ROOT
from tests.docs_run.pages import every_command

#: Of Raspberry Pi OS, not of Debian.
OF_THE_PI = {"rpicam-apps"}


def packages() -> set[str]:
    """Every package that a page has its reader install."""
    words = [
        each.text.partition("apt-get install")[2].split() for each in every_command() if "apt-get install" in each.text
    ]
    return {word for found in words for word in found if not word.startswith("-")} - OF_THE_PI


@pytest.mark.parametrize("package", sorted(packages()))
def test_a_package_can_be_had_under_its_name(package):
    argv = ["apt-get", "install", "--simulate", "-y", package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr + "\n(apt-get update was to be run before)"


def test_a_clone_is_whole(tmp_path):
    """What a newcomer clones has all that the set-up reads."""
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", tmp_path / "x"], check=True, timeout=120)
    help_text = subprocess.run(["make", "-C", tmp_path / "x"], capture_output=True, text=True, check=True, timeout=60)
    for target in ("setup", "demo", "test"):
        assert f"make {target} " in help_text.stdout
