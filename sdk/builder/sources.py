"""A dapp's own files on their way into an image: what is taken depends on names and content, never on the machine."""

from __future__ import annotations

from pathlib import Path

from oci.layout import Tree
from poco.errors import BadInputError


def copy(tree: Tree, folder: Path, origin: str, target: str) -> None:
    """Add a file or a folder of `folder` to a tree, executable where its owner may execute it.

    Hidden files, `__pycache__`, `*.pyc` and backups (`*~`) in a folder are left out.

    Raises:
        BadInputError: it is not there, leads out of the folder, or holds a link that does.
    """
    path = folder / origin
    if not path.exists():
        raise BadInputError(f"'{origin}' is not in {folder.name}/", hint="check 'files' in the description")
    if path.is_file():
        _add(tree, folder, path, target)
        return
    for each in sorted(path.rglob("*")):
        inside = each.relative_to(path)
        if each.is_file() and not any(_is_left_out(part) for part in inside.parts):
            _add(tree, folder, each, f"{target}/{inside.as_posix()}")


def _add(tree: Tree, folder: Path, path: Path, target: str) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInputError(
            f"'{path.relative_to(folder)}' is not in {folder.name}/", hint="copy the file into the dapp's folder"
        )
    # Of the permissions only the owner's right to execute is the source's own, whatever the umask.
    tree.file(target, path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith((".pyc", "~"))
