"""File trees out of Debian packages: unpacked for any architecture, with what a program does not need left behind."""

from __future__ import annotations

import fnmatch
import subprocess
import tarfile
from pathlib import Path

from oci.layout import Node, Tree
from poco.errors import PewError

#: Never needed to run a program.
DROPPED = (
    "usr/share/doc/*",
    "usr/share/doc-base/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/lintian/*",
    "usr/share/bug/*",
    "usr/share/menu/*",
    "usr/share/applications/*",
    "usr/share/pixmaps/*",
    "usr/share/binfmts/*",
    "usr/include/*",
    "usr/lib/*/pkgconfig/*",
    "usr/lib/*/gconv/*",
    "etc/*",
    "var/*",
)
#: Debian 12 packages still carry both; a merged /usr is what a running system has.
_MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def unpack(packages: list[Path], drop: list[str]) -> Tree:
    """Unpack packages over each other, without their scripts; hard links become files of their own.

    Raises:
        PewError: a package cannot be unpacked.
    """
    tree = Tree()
    patterns = (*DROPPED, *drop)
    for package in packages:
        files: dict[str, Node] = {}
        try:
            with (
                subprocess.Popen(
                    ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                ) as unpacker,
                tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar,
            ):
                for member in tar:
                    _add(files, tar, member)
        except (OSError, tarfile.TarError) as error:
            raise PewError(
                f"A Debian package cannot be unpacked: {error}", hint="remove build/cache/packages, build again"
            ) from error
        for path, node in files.items():
            if node.kind != "directory" and not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
                tree.nodes[path] = node
    return tree


def merged_usr(tree: Tree, with_lib64: bool) -> None:
    """Add the links of a merged /usr."""
    for link, target in _MERGED.items():
        if link != "lib64" or with_lib64:
            tree.link(link, target)


def base_files(tree: Tree) -> None:
    """Add what any program may expect: users and a writable /tmp."""
    tree.file("etc/passwd", b"root:x:0:0:root:/root:/bin/false\ndapp:x:65532:65532:dapp:/:/bin/false\n")
    tree.file("etc/group", b"root:x:0:\ndapp:x:65532:\n")
    tree.directory("tmp", 0o1777)


def task_folders(tree: Tree) -> None:
    """Add iExec's two folders of a task."""
    tree.directory("iexec_in")
    tree.directory("iexec_out", owner=65532)


def _add(files: dict[str, Node], tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = _merge(member.name.removeprefix("./"))
    if member.isfile():
        source = tar.extractfile(member)
        files[path] = Node("file", member.mode & 0o755, content=source.read() if source else b"")
    elif member.issym():
        files[path] = Node("link", 0o777, target=member.linkname)
    elif member.islnk():
        files[path] = files[_merge(member.linkname.removeprefix("./"))]


def _merge(path: str) -> str:
    head, slash, tail = path.partition("/")
    return f"{_MERGED[head]}/{tail}" if slash and head in _MERGED else path
