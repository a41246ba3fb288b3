"""The workspace on this machine: `python3 -m ops.setup` (standard library only).

Creates .venv from the hashed lock, node_modules from package-lock.json, and Brownie's compiler and networks below
$HOME. Each step leaves a stamp, the hash of all it read, in build/stamps: a step whose inputs and products are as the
stamp says is not done again. A stamp goes before its step begins, so a run that was interrupted heals the next time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.console import ROOT, CommandError, SetupError, guarded, run, say, step

PYTHONS = ((3, 11), (3, 12), (3, 13))
NODE_MINIMUM = 16
DISK_NEEDED = 3 * 1024**3
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
STAMPS = ROOT / "build" / "stamps"
LOCK_FILE = ROOT / "requirements-dev.txt"
NODE_LOCK_FILE = ROOT / "requirements-node.txt"
BROWNIE_SETUP = ROOT / "ops" / "brownie_setup.py"
NETWORK_SIGNS = re.compile(
    r"dns error|error sending request|Failed to fetch|NewConnectionError|Temporary failure in name resolution|"
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|Connection refused|Network is unreachable|"
    r"No matching distribution",
    re.IGNORECASE,
)
DISK_SIGNS = re.compile(r"No space left on device|ENOSPC|os error 28", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One part of the workspace.

    Attributes:
        name: of its stamp.
        what: in words, for the line of progress.
        inputs: files (their content counts) and words.
        products: what must exist; when one is gone the step is done again.
        action: does it.
    """

    name: str
    what: str
    inputs: Sequence[Path | str]
    products: Sequence[Path]
    action: Callable[[], None]

    def digest(self) -> str:
        """SHA-256 over all inputs; a path that is not there counts as absent."""
        total = hashlib.sha256()
        for each in self.inputs:
            if isinstance(each, Path):
                content = hashlib.sha256(each.read_bytes()).hexdigest() if each.exists() else "absent"
                total.update(f"{each.name}={content}\0".encode())
            else:
                total.update(f"{each}\0".encode())
        return total.hexdigest()

    def is_done(self) -> bool:
        """Whether stamp and products say that nothing is to do."""
        stamp = STAMPS / self.name
        return stamp.exists() and stamp.read_text() == self.digest() and all(each.exists() for each in self.products)

    def do(self) -> None:
        """Do the step and leave the stamp."""
        stamp = STAMPS / self.name
        stamp.unlink(missing_ok=True)
        with step("setup", self.what):
            self.action()
        missing = [str(each) for each in self.products if not each.exists()]
        if missing:
            raise SetupError(f"{self.what}: the step ended well but left no {', '.join(missing)}", exit_code=1)
        stamp.write_text(self.digest())


def fitting_python() -> str:
    """The interpreter for the workspace: this one, else the first that fits on PATH.

    Raises:
        SetupError: none of the versions of `PYTHONS` is there.
    """
    if sys.version_info[:2] in PYTHONS:
        return os.path.realpath(sys.executable)
    for major, minor in PYTHONS:
        found = shutil.which(f"python{major}.{minor}")
        if found is None:
            continue
        try:  # a shim may be on PATH for a version that is not there
            lines = run([found, "-c", "import os, sys; print(os.path.realpath(sys.executable))"]).splitlines()
        except CommandError:
            continue
        return lines[-1]
    wanted = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    raise SetupError(
        f"Python {sys.version_info[0]}.{sys.version_info[1]} does not fit, and none of {wanted} is on PATH",
        "install one of them (Debian 12, Ubuntu 24.04: `apt-get install python3 python3-venv`), or "
        "`make PYTHON=/path/to/python3.11 setup`",
    )


def steps() -> list[Step]:
    """All steps in their order."""
    python = fitting_python()
    here, home, commands = str(ROOT), Path.home(), VENV / "bin"
    packages = sorted(each.parent.name for each in ROOT.glob("*/__init__.py"))
    npm_files: list[Path | str] = [ROOT / "package.json", ROOT / "package-lock.json"]
    npm_folder = ROOT / "node_modules"
    tools = [commands / "brownie", commands / "pytest", commands / "ruff"]
    plan = [
        Step("venv", "Python environment", [python, here], [PYTHON], lambda: _make_venv(python)),
        Step("uv", "package installer", [here, *_uv_lines()], [UV], _install_uv),
        Step("python", "Python packages", [here, LOCK_FILE], tools, _sync_python),
        Step("own", "this project", [here, ROOT / "pyproject.toml", *packages], [commands / "pew"], _install_own),
    ]
    if not _node_fits():
        node = [commands / "node", commands / "npm"]
        plan.append(Step("node", "Node.js", [here, LOCK_FILE, NODE_LOCK_FILE], node, _install_node))
    packages_of_npm = ("ganache", "solc", "@iexec/poco")
    npm_products = [npm_folder / each / "package.json" for each in packages_of_npm]
    plan.append(Step("npm", "Ganache, compiler, original contracts", npm_files, npm_products, _install_npm))
    if BROWNIE_SETUP.exists():
        # the compiler is also an input: it may be another folder's launcher, where two share a home
        compiler, networks = _compiler(home), ROOT / "networks.yaml"
        inputs = [here, str(home), *npm_files, *sorted(ROOT.glob("ops/*solc*")), BROWNIE_SETUP, networks, compiler]
        products = [home / ".brownie" / "network-config.yaml", compiler, commands / "ganache"]
        plan.append(Step("brownie", "Brownie's compiler and networks", inputs, products, _prepare_brownie))
    return plan


def prepare() -> int:
    """Do every step that is not done; return how many were."""
    done = 0
    with _one_at_a_time():
        plan = steps()
        again = False
        for each in plan:
            # a new environment loses all that was installed in it; `uv pip sync` removes what is not locked
            if each.is_done() and not (again and each.name in {"uv", "python", "own", "node"}):
                continue
            if done == 0:
                _check_disk()
            each.do()
            done += 1
            again = again or each.name in {"venv", "python"}
    return done


def _make_venv(python: str) -> None:
    try:
        run([python, "-c", "import ensurepip, venv"])
    except CommandError as error:
        raise SetupError(
            f"{python} cannot create environments (no ensurepip)",
            "on Debian or Ubuntu: `apt-get install python3-venv`; then run it again",
        ) from error
    _run([python, "-m", "venv", "--clear", VENV])


def _uv_lines() -> list[str]:
    """The lock's lines for uv: name, version, hashes."""
    match = re.search(r"^uv==.*(?:\n    --hash=.*)*", LOCK_FILE.read_text(), re.MULTILINE)
    if match is None:
        raise SetupError(f"{LOCK_FILE.name} pins no uv", "lock it again, see docs/dependencies.md", exit_code=1)
    return [line.rstrip() for line in match.group(0).splitlines()]


def _install_uv() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "uv.txt"
        lock.write_text("\n".join(_uv_lines()).rstrip("\\ ") + "\n")
        _run([PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", lock])


def _sync_python() -> None:
    _uv("pip", "sync", "--require-hashes", LOCK_FILE)


def _install_own() -> None:
    _uv("pip", "install", "--no-deps", "--no-build-isolation", "-e", ROOT)


def _install_node() -> None:
    _uv("pip", "install", "--require-hashes", "-r", NODE_LOCK_FILE)


def _uv(*words: str | Path) -> None:
    argv = [UV, *words, "-q", "--python", PYTHON]
    _run(argv, {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": str(VENV)})


def _install_npm() -> None:
    _run(["npm", "ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"])


def _prepare_brownie() -> None:
    _run([PYTHON, "-m", "ops.brownie_setup"])


def _compiler(home: Path) -> Path:
    """Where py-solc-x looks for the compiler of package-lock.json's version."""
    version = json.loads((ROOT / "package-lock.json").read_text())["packages"]["node_modules/solc"]["version"]
    return Path(os.environ.get("SOLCX_BINARY_PATH") or home / ".solcx") / f"solc-v{version}"


def _node_fits() -> bool:
    """Whether the machine's own Node.js and npm (not those inside .venv) are there and new enough."""
    folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if Path(each) != VENV / "bin"]
    outside = os.pathsep.join(folders)
    node, npm = shutil.which("node", path=outside), shutil.which("npm", path=outside)
    if node is None or npm is None:
        return False
    try:
        match = re.match(r"v(\d+)", run([node, "--version"], timeout=30))
    except CommandError:
        return False
    return match is not None and int(match.group(1)) >= NODE_MINIMUM


def _run(argv: Sequence[str | Path], env: dict[str, str] | None = None) -> None:
    """Run a step's command with the environment's commands on PATH; say what a failure most often means."""
    path = os.pathsep.join([str(VENV / "bin"), os.environ.get("PATH", "")])
    try:
        run(argv, env={"PATH": path, **(env or {})}, cwd=ROOT, timeout=1800)
    except CommandError as error:
        hint = ""
        if DISK_SIGNS.search(error.output):
            hint = f"the disk of {ROOT} or {Path.home()} is full: free {DISK_NEEDED // 1024**3} GB, then run it again"
        elif NETWORK_SIGNS.search(error.output):
            hint = (
                "PyPI or the npm registry cannot be reached: check the network and HTTPS_PROXY (mirrors: "
                "PIP_INDEX_URL, UV_DEFAULT_INDEX, npm_config_registry), then run it again; it goes on where it stopped"
            )
        raise SetupError(error.message, hint, exit_code=1) from error


def _check_disk() -> None:
    free = shutil.disk_usage(ROOT).free
    if free < DISK_NEEDED:
        raise SetupError(
            f"{free / 1024**3:.1f} GB are free on the disk of {ROOT}; the workspace needs {DISK_NEEDED // 1024**3} GB",
            "free some, then run it again",
        )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the workspace's lock: two set-ups at once would break each other's environment."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    with (STAMPS / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("setup", "another set-up of this folder is running, waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Entry point."""
    started = time.monotonic()
    done = prepare()
    seconds = time.monotonic() - started
    say("setup", f"ready in {seconds:.1f} s" if done else "ready, nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
