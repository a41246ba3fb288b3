"""Takes what the operator has published, if it is new, signed by him, and the worker's energy gate does not object.

By root on the device, standard library only: it fetches and checks, `ansible-pull` does the rest. Exit code 0 also
where there is nothing to do, or not now.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HOME = Path("/var/lib/pew-pull")
MIRROR, TREE, DONE = HOME / "mirror.git", HOME / "tree", HOME / "done"
SETTINGS, SIGNERS = Path("/etc/pew/pull/pull.json"), Path("/etc/pew/pull/signers")
CURRENT = Path("/opt/pew/current")
BRANCH = "refs/heads/main"
#: Exit code of `python -m worker may-update` that means later.
NOT_NOW = 3


class PullError(Exception):
    """Why it cannot be done."""


def main() -> int:
    settings = json.loads(SETTINGS.read_text())
    # git must run on what it finds here and nowhere else
    os.environ |= {
        "HOME": str(HOME),
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "gpg.ssh.allowedSignersFile",
        "GIT_CONFIG_VALUE_0": str(SIGNERS),
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
    try:
        there = newest(settings["url"])
        if DONE.exists() and DONE.read_text().strip() == there:
            print("nothing new")
            return 0
        why = objection(float(settings["lowest_soc"]))
        if why:
            print(f"a new version waits: {why}")
            return 0
        take(settings, there)
    except PullError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"now at {there[:12]}")
    return 0


def newest(url: str) -> str:
    """The commit that is published."""
    words = run(["git", "ls-remote", "--exit-code", url, BRANCH]).split()
    return words[0]


def objection(lowest_soc: float) -> str:
    """What the worker's energy gate and tasks have against it now; empty for nothing, or where no worker can say."""
    python = CURRENT / "venv" / "bin" / "python"
    config = Path("/etc/pew/worker.yaml")
    if not (python.exists() and config.exists()):
        return ""
    words = ["runuser", "-u", "pew", "--", str(python), "-m", "worker", "may-update", "--config", str(config)]
    words += ["--lowest-soc", str(lowest_soc)]
    asked = subprocess.run(words, cwd=CURRENT, capture_output=True, text=True, check=False)
    # a version that cannot even answer must be replaceable
    return asked.stdout.strip() if asked.returncode == NOT_NOW else ""


def take(settings: dict[str, str], commit: str) -> None:
    """Fetch, check who has signed it and that it follows what was taken last, then let ansible-pull work."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    if not MIRROR.exists():
        run(["git", "init", "-q", "--bare", str(MIRROR)])
    run(["git", "-C", str(MIRROR), "fetch", "-q", settings["url"], f"+{BRANCH}:refs/heads/found"])
    found = run(["git", "-C", str(MIRROR), "rev-parse", "refs/heads/found"]).strip()
    if found != commit:
        raise PullError("it changed while it was read: another time")
    try:
        run(["git", "-C", str(MIRROR), "verify-commit", commit])
    except PullError as error:
        raise PullError(f"{commit[:12]} is not signed by the operator: {error}") from None
    if DONE.exists():
        known = DONE.read_text().strip()
        try:
            run(["git", "-C", str(MIRROR), "merge-base", "--is-ancestor", known, commit])
        except PullError:
            raise PullError(f"{commit[:12]} does not follow {known[:12]}: an old version is not taken") from None
    run(["git", "-C", str(MIRROR), "update-ref", BRANCH, commit])
    words = [f"{settings['ansible']}/bin/ansible-pull", "-U", f"file://{MIRROR}", "-C", "main", "-d", str(TREE)]
    words += ["--verify-commit", "--force", "-i", "localhost,", "-e", f"pew_name={settings['name']}"]
    words += ["-e", "pew_hosts=localhost", "local.yml"]
    path = os.pathsep.join([f"{settings['ansible']}/bin", os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")])
    env = {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(TREE / "ops" / "ansible" / "ansible.cfg")}
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise PullError("ansible-pull failed; the worker goes on with what it had")
    write(DONE, commit + "\n")


def write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise PullError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-300:] or f'exit code {done.returncode}'}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
