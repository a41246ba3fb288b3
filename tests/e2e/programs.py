"""A small image that behaves as its argument says, out of Debian's static busybox."""

import os
from pathlib import Path

from oci.layout import BlobStore, ImageConfig, Tree, push_layout, write_image, write_index, write_layout
from oci.platform import parse as parse_platform
from oci.registry import RegistryClient
from ops.console import ROOT
from sdk.builder import packages, rootfs
from sdk.builder.description import PackageLayer

_BUSYBOX = ROOT / "build" / "cache" / "busybox"

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
    """The static program for amd64, out of its Debian package as the image builder fetches it; kept in build/cache."""
    if not _BUSYBOX.exists():
        (layer,) = packages.resolve([PackageLayer(packages=["busybox-static"])], ["linux/amd64"], _BUSYBOX.parent)
        tree = rootfs.unpack(packages.fetch(layer["linux/amd64"], _BUSYBOX.parent), [])
        (program,) = [node for path, node in tree.nodes.items() if path.endswith("bin/busybox")]
        part = _BUSYBOX.with_name(f"busybox.{os.getpid()}")
        part.write_bytes(program.content)
        part.replace(_BUSYBOX)
    return _BUSYBOX.read_bytes()


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
