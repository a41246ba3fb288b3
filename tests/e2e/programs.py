"""A small image that behaves as its argument says, out of Debian's static busybox."""

import os
import subprocess
import tarfile
from pathlib import Path

from oci.layout import BlobStore, ImageConfig, Tree, push_layout, write_image, write_index, write_layout
from oci.platform import parse as parse_platform
from oci.registry import RegistryClient
from ops.console import ROOT

_CACHE = ROOT / "build" / "cache" / "busybox"

#: The first argument says what to do; good work leaves one file and says so.
_PROGRAM = """#!/bin/sh
say() { echo "{\\"deterministic-output-path\\": \\"$1\\"}" > "$IEXEC_OUT/computed.json"; }
echo "asked for: $*"
case "$1" in
  good) echo 42 > "$IEXEC_OUT/answer.txt"; say /iexec_out/answer.txt ;;
  copy) cp "$IEXEC_IN/$IEXEC_DATASET_FILENAME" "$IEXEC_OUT/copy"; say /iexec_out/copy ;;
  fail) echo "no such camera" >&2; exit 3 ;;
  slow) sleep 600 ;;
  silent) echo 42 > "$IEXEC_OUT/answer.txt" ;;
  broken) echo '{"deterministic' > "$IEXEC_OUT/computed.json" ;;
  outside) say /etc/passwd ;;
  above) say /iexec_out/../etc/passwd ;;
  link) ln -s /etc/passwd "$IEXEC_OUT/answer.txt"; say /iexec_out/answer.txt ;;
  *) exit 9 ;;
esac
"""


def busybox() -> bytes:
    """The static program for this machine's architecture, fetched once through apt."""
    path = _CACHE / "busybox"
    if not path.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", "busybox-static:amd64"], cwd=_CACHE, check=True, timeout=300)
        (package,) = _CACHE.glob("busybox-static_*.deb")
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True)
        (_CACHE / "package.tar").write_bytes(unpacked.stdout)
        with tarfile.open(_CACHE / "package.tar") as tar:
            content = tar.extractfile("./bin/busybox")
            assert content is not None
            part = path.with_name(f"busybox.{os.getpid()}")
            part.write_bytes(content.read())
            part.replace(path)
        (_CACHE / "package.tar").unlink()
        package.unlink()
    return path.read_bytes()


def push(registry: str, folder: Path, name: str, platform: str = "linux/amd64") -> tuple[str, str]:
    """Push the image, labelled for a platform, as `<name>:1`; returns its multiaddr and digest."""
    store = BlobStore(folder / name / "blobs")
    tree = Tree()
    tree.file("bin/busybox", busybox(), 0o755)
    for command in ("sh", "cp", "ln", "sleep"):
        tree.link(f"bin/{command}", "busybox")
    tree.file("program", _PROGRAM.encode(), 0o755)
    config = ImageConfig(("/bin/sh", "/program"), {"PATH": "/bin"})
    manifest = write_image(store, parse_platform(platform), [store.put_layer(tree, 0)], config, 0)
    write_layout(folder / name / "layout", store, write_index(store, [manifest]), f"{name}:1")
    with RegistryClient(registry) as client:
        digest = push_layout(folder / name / "layout", client, name, "1")
    return f"{registry}/{name}:1", digest
