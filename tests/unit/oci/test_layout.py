"""Layers, configs and indexes: the same bytes each time, the right labels, nothing of this machine."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oci import layout, platform
from oci.errors import ImageInvalidError, PlatformUnsupportedError
from oci.layout import BlobStore, ImageConfig, Tree
from oci.manifest import OCI_CONFIG, Descriptor, Index, Manifest, parse_document, pick
from poco.errors import BadInputError

PLATFORMS = ["linux/arm/v7", "linux/arm64", "linux/amd64"]


def small_tree() -> Tree:
    tree = Tree()
    tree.file("/opt/dapp/run", b"#!/bin/sh\n", 0o755)
    tree.link("bin", "usr/bin")
    tree.directory("tmp", 0o1777)
    tree.directory("iexec_out", owner=65532)
    return tree


def build(root) -> tuple[BlobStore, Descriptor]:
    store = BlobStore(root)
    config = ImageConfig(("/opt/dapp/run",), {"B": "2", "A": "1"}, labels={"title": "x"})
    manifests = []
    for name in PLATFORMS:
        tree = small_tree()
        tree.file("arch", name.encode())
        manifests.append(layout.write_image(store, platform.parse(name), [store.put_layer(tree, 0)], config, 0))
    return store, layout.write_index(store, manifests)


def test_the_same_image_twice_is_the_same_digest(tmp_path):
    assert build(tmp_path / "one")[1].digest == build(tmp_path / "two")[1].digest


def test_a_layer_tells_nothing_of_its_maker(tmp_path):
    store = BlobStore(tmp_path)
    layer = store.put_layer(small_tree(), 1_700_000_000)
    compressed = store.path(layer.descriptor.digest).read_bytes()
    content = gzip.decompress(compressed)
    assert compressed[4:8] == b"\0\0\0\0"  # gzip's own time
    assert layer.diff_id == f"sha256:{hashlib.sha256(content).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == ["bin", "iexec_out", "opt", "opt/dapp", "opt/dapp/run", "tmp"]
    assert {member.mtime for member in members.values()} == {1_700_000_000}
    assert {member.uname + member.gname for member in members.values()} == {""}
    assert members["iexec_out"].uid == 65532
    assert members["opt/dapp/run"].uid == 0
    assert members["tmp"].mode == 0o1777
    assert members["bin"].linkname == "usr/bin"


@pytest.mark.parametrize(
    ("name", "labels"),
    [("linux/arm/v7", ("arm", "v7")), ("linux/arm64", ("arm64", "v8")), ("linux/amd64", ("amd64", None))],
)
def test_architecture_and_variant_in_index_and_config(tmp_path, name, labels):
    store, index = build(tmp_path)
    document = json.loads(store.path(index.digest).read_bytes())
    entry = document["manifests"][PLATFORMS.index(name)]
    assert (entry["platform"]["architecture"], entry["platform"].get("variant")) == labels
    manifest = json.loads(store.path(entry["digest"]).read_bytes())
    config = json.loads(store.path(manifest["config"]["digest"]).read_bytes())
    assert (config["architecture"], config.get("variant")) == labels
    assert config["config"]["Env"] == ["A=1", "B=2"]
    assert config["config"]["User"] == "65532:65532"
    assert manifest["config"]["mediaType"] == OCI_CONFIG


def test_a_layout_holds_all_it_names(tmp_path):
    store, index = build(tmp_path / "store")
    folder = tmp_path / "layout"
    layout.write_layout(folder, store, index, "x:1")
    layout.write_layout(folder, store, index, "x:1")  # over an old one
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    blobs = sorted((folder / "blobs" / "sha256").iterdir())
    assert len(blobs) == 1 + 3 * 3
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in blobs)


@settings(deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4}){0,3}", fullmatch=True), st.binary(max_size=50), max_size=8)
)
def test_order_of_adding_does_not_matter(files):
    paths = [path for path in files if not any(other.startswith(f"{path}/") for other in files)]
    one, two = Tree(), Tree()
    for path in paths:
        one.file(path, files[path])
    for path in reversed(paths):
        two.file(f"/{path}", files[path])
    assert one.tar(0) == two.tar(0)
    with tarfile.open(fileobj=io.BytesIO(one.tar(0))) as tar:
        assert {member.name: tar.extractfile(member).read() for member in tar if member.isfile()} == {
            path: files[path] for path in paths
        }


@pytest.mark.parametrize("path", ["", "/", "../etc/passwd", "a/../../b", "."])
def test_paths_cannot_leave_the_image(path):
    with pytest.raises(BadInputError):
        Tree().file(path, b"")


def test_pick_takes_the_best_and_names_what_there_is(tmp_path):
    store, index = build(tmp_path)
    meaning = parse_document(store.path(index.digest).read_bytes()).meaning
    assert isinstance(meaning, Index)
    assert [str(found) for found in meaning.platforms] == PLATFORMS
    for name in PLATFORMS:
        assert str(pick(meaning, platform.parse(name)).platform) == name
    with pytest.raises(PlatformUnsupportedError, match="linux/riscv64; it has linux/amd64, linux/arm/v7, linux/arm64"):
        pick(meaning, platform.parse("linux/riscv64"))


def test_compressed_bytes_are_config_and_layers(tmp_path):
    store, index = build(tmp_path)
    meaning = parse_document(store.path(index.digest).read_bytes()).meaning
    manifest = parse_document(store.path(meaning.manifests[0].digest).read_bytes()).meaning
    assert isinstance(manifest, Manifest)
    files = [manifest.config, *manifest.layers]
    assert manifest.compressed_bytes == sum(store.path(blob.digest).stat().st_size for blob in files)


FIELDS = st.sampled_from(["schemaVersion", "mediaType", "manifests", "config", "layers", "digest", "size"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@settings(deadline=None)
@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4)))
def test_any_json_is_a_manifest_or_refused(value):
    with contextlib.suppress(ImageInvalidError):
        parse_document(json.dumps(value).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schemaVersion": 1}', b"[" * 100_000, b"\xff"])
def test_junk_is_no_manifest(content):
    with pytest.raises(ImageInvalidError):
        parse_document(content)
