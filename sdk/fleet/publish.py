"""What devices fetch by themselves: a git repository of playbook, release and settings, signed by the operator.

A device runs nothing but a commit that this key has signed and that follows the one it has: whoever serves the
repository, or listens, need not be trusted. Nothing secret is in it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from poco.errors import BadInputError
from sdk.fleet.inventory import Fleet
from sdk.fleet.release import Release
from sdk.fleet.signing import ensure_key, git, run
from sdk.fleet.state import State
from sdk.fleet.variables import of_device

BRANCH = "main"
_LOCAL = """# What a device runs on itself: ansible-pull, or the first boot of a card.
- name: Who this is
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Its settings
      ansible.builtin.include_vars:
        file: "{{ playbook_dir }}/hosts/{{ pew_name }}.json"

- name: The same as by ssh
  ansible.builtin.import_playbook: ops/ansible/site.yml
"""


def publish(fleet: Fleet, state: State, release: Release, root: Path) -> bool:
    """Commit what is in force, and send it to `pull.push`, or into `<fleet>.state/pull.git`; whether it is new.

    Raises:
        PewError: git is missing, or the remote refuses.
    """
    if fleet.pull is None:
        return False
    if shutil.which("git") is None:
        raise BadInputError("this machine has no git", hint="sudo apt-get install git")
    ensure_key(state)
    tree, bare = state.folder / "pull", state.folder / "pull.git"
    if not (tree / ".git").exists():
        run(["git", "init", "-q", "-b", BRANCH, str(tree)])
    if not bare.exists():
        run(["git", "init", "-q", "--bare", "-b", BRANCH, str(bare)])
    _fill(tree, fleet, state, release, root)
    git(tree, state, ["add", "--all"])
    new = git(tree, state, ["status", "--porcelain"]) != ""
    if new:
        git(tree, state, ["commit", "-q", "-S", "-m", f"release {release.digest}"])
    git(tree, state, ["push", "-q", str(bare), BRANCH])
    git(bare, state, ["update-server-info"])
    if fleet.pull.push is not None:
        git(tree, state, ["push", "-q", fleet.pull.push, BRANCH])
    return new


def _fill(tree: Path, fleet: Fleet, state: State, release: Release, root: Path) -> None:
    for old in ("ops", "hosts", "releases"):
        shutil.rmtree(tree / old, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.py[co]", "__init__.py", "__main__.py")
    shutil.copytree(root / "ops" / "ansible", tree / "ops" / "ansible", ignore=ignored)
    shutil.copytree(root / "ops" / "systemd", tree / "ops" / "systemd")
    shutil.copyfile(root / "requirements-ansible.txt", tree / "requirements-ansible.txt")
    (tree / "releases").mkdir()
    shutil.copyfile(release.path, tree / "releases" / release.path.name)
    (tree / "local.yml").write_text(_LOCAL)
    (tree / "hosts").mkdir()
    for name in fleet.hosts:
        settings = {
            **of_device(fleet, state, release, name),
            "pew_archive": f"{{{{ playbook_dir }}}}/../../releases/{release.path.name}",
            "ansible_become": False,
        }
        (tree / "hosts" / f"{name}.json").write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")
