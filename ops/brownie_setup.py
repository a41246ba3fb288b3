"""What Brownie needs outside the project: a Solidity compiler, the networks and the local chains on PATH.

Run by `ops/setup.py`, or alone: `python -m ops.brownie_setup`. Does nothing where everything is in place already.
A native compiler that py-solc-x has installed is kept.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
LOCAL_CHAINS = ("ganache", "anvil")


class SetupError(Exception):
    """Something that Brownie needs is missing; the message says what to do."""


def _write(path: Path, text: str, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    if executable:
        draft.chmod(0o755)
    draft.replace(path)


def _full_version(package: Path) -> str:
    """The compiler's own version string, like `0.8.34+commit.80d5c536.Emscripten.clang`."""
    out = subprocess.run(["node", str(package / "solc.js"), "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"^\d+\.\d+\.\d+\+commit\.\w+\S*", out.stdout, re.MULTILINE)
    if not match:
        raise SetupError(f"{package} gave no version: {out.stdout.strip()!r}. Run `npm ci`.")
    return match.group()


def install_solc(root: Path = ROOT, folder: Path | None = None) -> bool:
    """Put a launcher of npm's solc where py-solc-x looks for a compiler. True if something was written."""
    package = root / "node_modules" / "solc"
    if not (package / "soljson.js").is_file():
        raise SetupError(f"{package} is missing: run `npm ci` in {root}")
    folder = folder or Path(os.environ.get("SOLCX_BINARY_PATH") or Path.home() / ".solcx")
    version = json.loads((package / "package.json").read_text())["version"]
    target = folder / f"solc-v{version}"
    run = shlex.join(
        [
            "node",
            "--liftoff-only",
            str(root / "ops" / "solc_launcher.js"),
            str(package),
            str(folder / f"cache-{version}"),
        ]
    )
    if target.exists():
        current = target.read_bytes()
        if not current.startswith(b"#!") or run.encode() in current:
            return False
    lines = ["#!/bin/sh", 'if [ "$1" = "--version" ]; then']
    lines += [
        "  echo 'solc, the solidity compiler commandline interface'",
        f"  echo 'Version: {_full_version(package)}'",
    ]
    lines += ["  exit 0", "fi", f'exec {run} "$@"', ""]
    _write(target, "\n".join(lines), executable=True)
    return True


def merge_networks(current: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Brownie's network configuration with ours in it: entries of the same id are replaced, all others kept."""
    mine = {n["id"] for n in ours["development"]} | {n["id"] for group in ours["live"] for n in group["networks"]}
    development = [n for n in current.get("development") or [] if n["id"] not in mine]
    live = []
    for group in current.get("live") or []:
        kept = [n for n in group["networks"] if n["id"] not in mine]
        live += [{**group, "networks": kept}] if kept else []
    return {**current, "live": live + ours["live"], "development": development + ours["development"]}


def _defaults() -> Path:
    """Brownie's own list of networks, found without importing Brownie."""
    found = importlib.util.find_spec("brownie")
    if found is None or not found.submodule_search_locations:
        raise SetupError("Brownie is not installed: run `make setup`")
    return Path(found.submodule_search_locations[0]) / "data" / "network-config.yaml"


def install_networks(root: Path = ROOT, home: Path | None = None) -> bool:
    """Merge networks.yaml into Brownie's network configuration. True if something was written."""
    target = (home or Path.home()) / ".brownie" / "network-config.yaml"
    ours = yaml.safe_load((root / "networks.yaml").read_text())
    # once there is a file Brownie adds nothing to it: begin with the networks it knows by itself
    source = target if target.exists() else _defaults()
    current: dict[str, Any] = yaml.safe_load(source.read_text()) or {}
    merged = merge_networks(current, ours)
    if merged == current and source is target:
        return False
    _write(target, yaml.safe_dump(merged, sort_keys=False))
    return True


def install_chains(root: Path = ROOT, folder: Path | None = None) -> list[str]:
    """Link Ganache and Anvil beside this Python: Brownie starts them by name from PATH. Returns what was linked."""
    folder = folder or Path(sys.prefix) / "bin"
    done = []
    for name in LOCAL_CHAINS:
        binary, link = root / "node_modules" / ".bin" / name, folder / name
        if not binary.exists():
            if name == "ganache":
                raise SetupError(f"{binary} is missing: run `npm ci` in {root}")
            continue  # Anvil is optional: it is not built for every platform
        if link.is_symlink() and link.resolve() == binary.resolve():
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(binary)
        done.append(name)
    return done


def setup(root: Path = ROOT) -> list[str]:
    """Prepare all of it; returns what was done, empty when nothing was to do."""
    done = [f"linked {name}" for name in install_chains(root)]
    if install_solc(root):
        done.append("installed the solc launcher")
    if install_networks(root):
        done.append("added the networks to Brownie")
    return done


if __name__ == "__main__":
    try:
        for line in setup() or ["Brownie is ready"]:
            print(line)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
