"""The builder without the network: descriptions, locks, packages, the compiler, caches."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from oci.layout import Tree
from oci.manifest import Index, parse_document
from poco.errors import BadInputError, PewError
from sdk.builder import locks, native, packages, rootfs
from sdk.builder.description import load
from sdk.builder.image import Builder
from sdk.cli import main as pew

ROOT = Path(__file__).resolve().parents[3]
PLATFORMS = ["linux/arm/v7", "linux/arm64", "linux/amd64"]
DAPP = """
name: {name}
version: 1.0.0
summary: A test
platforms: [linux/arm/v7, linux/arm64, linux/amd64]
memory_mb: 64
native: [{{sources: [code.c], output: /opt/dapp/code.so}}]
files: {{program: /opt/dapp, data.txt: /opt/data.txt}}
entrypoint: [/opt/dapp/run]
golden: {{input: data.txt, digest: "0x{zeros}"}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one dapp, `small`, that needs no packages; the compiler keeps its own libraries between tests."""
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(ROOT / "build" / "cache" / "zig"))
    folder = tmp_path / "dapps" / "small"
    (folder / "program" / "__pycache__").mkdir(parents=True)
    (folder / "program" / "run").write_text("#!/bin/true\n")
    (folder / "program" / "__pycache__" / "run.pyc").write_text("never")
    (folder / "data.txt").write_text("data")
    (folder / "code.c").write_text("int answer(void) { return 42; }\n")
    (folder / "dapp.yaml").write_text(DAPP.format(name="small", zeros="0" * 64))
    return tmp_path


def test_every_dapp_of_the_project_is_described():
    for path in sorted(ROOT.glob("dapps/*/dapp.yaml")):
        description = load(path.parent)
        assert description.name == path.parent.name
        assert (path.parent / description.golden.input).is_file()
        assert locks.read(description, path.parent, ROOT / "dapps" / "layers")


def test_locks_name_no_server():
    for path in ROOT.glob("dapps/*/*.lock"):
        text = path.read_text()
        assert "://" not in text
        lock = [
            entry for layer in json.loads(text)["layers"] for group in layer["platforms"].values() for entry in group
        ]
        assert lock
        assert all(entry["path"].startswith("pool/") and len(entry["sha256"]) == 64 for entry in lock)


def test_a_project_is_built_the_same_twice(project, tmp_path):
    shutil.copytree(project / "dapps", tmp_path / "elsewhere" / "dapps")
    one = Builder(project).build("small")
    again = Builder(project).build("small")
    other = Builder(tmp_path / "elsewhere").build("small")
    assert one.digest == again.digest == other.digest
    index = parse_document((one.layout / "blobs" / "sha256" / one.digest[7:]).read_bytes()).meaning
    assert isinstance(index, Index)
    assert [str(found) for found in index.platforms] == PLATFORMS
    layer = parse_document((one.layout / "blobs/sha256" / one.platforms["linux/arm64"].digest[7:]).read_bytes()).meaning
    content = (one.layout / "blobs/sha256" / layer.layers[-1].digest[7:]).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        names = tar.getnames()
        shared = tar.extractfile("opt/dapp/code.so").read()
    assert "opt/data.txt" in names and "opt/dapp/run" in names
    assert not [name for name in names if "__pycache__" in name]
    assert shared[:4] == b"\x7fELF" and shared[18:20] == (183).to_bytes(2, "little")  # EM_AARCH64
    assert str(project).encode() not in shared


def test_a_changed_source_changes_the_image(project):
    before = Builder(project).build("small").digest
    (project / "dapps/small/data.txt").write_text("other")
    between = Builder(project).build("small").digest
    (project / "dapps/small/code.c").write_text("int answer(void) { return 43; }\n")
    assert len({before, between, Builder(project).build("small").digest}) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("small", "Small"), "name"),
        (("memory_mb: 64", "memory_mb: -1"), "memory_mb"),
        (("summary: A test", "sumary: A test"), "summary"),
        (("linux/arm64", "linux/mips"), "platforms"),
        (("name: small", "name: [small"), "YAML"),
    ],
)
def test_a_wrong_description_says_where(project, change, said):
    path = project / "dapps/small/dapp.yaml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(BadInputError, match=said):
        load(path.parent)


def test_an_unknown_dapp_names_those_there_are(project):
    with pytest.raises(BadInputError) as caught:
        load(project / "dapps" / "nothing")
    assert "small" in caught.value.hint


def test_files_outside_the_dapp_are_refused(project):
    (project / "secret").write_text("x")
    path = project / "dapps/small/dapp.yaml"
    path.write_text(path.read_text().replace("data.txt: /opt", "../../secret: /opt"))
    with pytest.raises(BadInputError, match="is not in small"):
        Builder(project).build("small")


def test_a_c_error_is_shown(project):
    (project / "dapps/small/code.c").write_text("int answer(void) { return nothing; }\n")
    with pytest.raises(BadInputError, match="nothing"):
        Builder(project).build("small")


def with_packages(project: Path) -> Path:
    path = project / "dapps/small/dapp.yaml"
    path.write_text(path.read_text() + "layers: [{packages: [zlib1g]}]\n")
    return path.parent


def lock_of(name: str, version: str, digest: str) -> list[packages.Locked]:
    entry = packages.Package(name, version, digest, 10, f"pool/main/z/zlib/{name}_{version}_armhf.deb")
    return [{platform: [entry] for platform in PLATFORMS}]


def test_a_lock_is_read_as_it_was_written(project):
    folder = with_packages(project)
    lock = lock_of("zlib1g", "1:1.2", "ab" * 32)
    locks.save(folder / "packages.lock", load(folder).layers, lock)
    assert locks.read(load(folder), folder, project / "dapps" / "layers") == lock


@pytest.mark.parametrize("damage", ["missing", "junk", "other"])
def test_a_lock_that_does_not_fit_asks_for_a_new_one(project, damage):
    folder = with_packages(project)
    path = folder / "packages.lock"
    locks.save(path, load(folder).layers, lock_of("zlib1g", "1", "ab" * 32))
    if damage == "missing":
        path.unlink()
    elif damage == "junk":
        path.write_text("{")
    else:
        text = (folder / "dapp.yaml").read_text()
        (folder / "dapp.yaml").write_text(text.replace("zlib1g", "zlib1g, tzdata"))
    with pytest.raises(BadInputError) as caught:
        Builder(project).build("small")
    assert "--refresh-lock" in caught.value.hint


def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Debian mirror on disk, the only one the builder sees."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setattr(packages, "_mirrors", lambda: [f"file:{mirror}"])
    return mirror


def test_a_package_that_is_gone_from_the_archive(project, tmp_path, monkeypatch):
    archive(tmp_path, monkeypatch)
    folder = with_packages(project)
    locks.save(folder / "packages.lock", load(folder).layers, lock_of("zlib1g", "1.9", "ab" * 32))
    with pytest.raises(PewError, match=r"zlib1g 1\.9") as caught:
        Builder(project).build("small")
    assert "--refresh-lock" in caught.value.hint


def test_a_package_that_is_not_the_locked_one(tmp_path, monkeypatch):
    mirror = archive(tmp_path, monkeypatch)
    path = mirror / "pool/main/z/zlib/zlib1g_1_armhf.deb"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    locked = lock_of("zlib1g", "1", hashlib.sha256(b"the real one").hexdigest())[0]["linux/arm/v7"]
    with pytest.raises(PewError):
        packages.fetch(locked, tmp_path / "cache")
    path.write_bytes(b"the real one")
    assert packages.fetch(locked, tmp_path / "cache")[0].read_bytes() == b"the real one"
    path.unlink()
    assert packages.fetch(locked, tmp_path / "cache")[0].read_bytes() == b"the real one"  # from the cache


def test_a_system_without_apt_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "_HELPER", tmp_path / "no-apt")
    with pytest.raises(PewError) as caught:
        packages.fetch(lock_of("zlib1g", "1", "ab" * 32)[0]["linux/arm/v7"], tmp_path / "cache")
    assert "buildx" in caught.value.hint


def test_packages_are_unpacked_into_a_merged_usr(tmp_path):
    source = tmp_path / "package"
    for path, content in {
        "DEBIAN/control": "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n",
        "lib/arm-linux-gnueabihf/libx.so.1": "library",
        "usr/bin/x": "program",
        "usr/share/doc/x/copyright": "text",
        "usr/share/x/big": "dropped",
    }.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(content)
    (source / "bin").mkdir()
    (source / "bin/y").symlink_to("x")
    (source / "usr/bin/hard").hardlink_to(source / "usr/bin/x")
    package = tmp_path / "x.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(source), str(package)], check=True, capture_output=True)
    tree = rootfs.unpack([package], ["usr/share/x/*"])
    rootfs.merged_usr(tree, with_lib64=False)
    assert set(tree.nodes) == {
        "usr/lib/arm-linux-gnueabihf/libx.so.1", "usr/bin/x", "usr/bin/y", "usr/bin/hard", "bin", "lib", "sbin",
    }  # fmt: skip
    assert tree.nodes["usr/bin/hard"].content == b"program"
    assert tree.nodes["lib"].target == "usr/lib"


def test_a_broken_package(tmp_path):
    broken = tmp_path / "broken.deb"
    broken.write_bytes(b"!<arch>\nnothing")
    with pytest.raises(PewError, match="cannot be unpacked"):
        rootfs.unpack([broken], [])


def test_base_files_let_a_stranger_write_only_where_he_may():
    tree = Tree()
    rootfs.base_files(tree)
    rootfs.task_folders(tree)
    writable = [path for path, node in tree.nodes.items() if node.kind == "directory" and (node.owner or node.mode & 2)]
    assert sorted(writable) == ["iexec_out", "tmp"]


def test_a_missing_c_source(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        native.compile_shared([tmp_path / "none.c"], "linux/arm64", [], tmp_path)


def test_the_command_says_what_is_wrong_without_a_trace(project, capsys):
    assert pew(["dapp", "build", "nothing", "--root", str(project)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: There is no dapp 'nothing'\nhint: ")
    assert pew(["dapp", "build", "--root", str(project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["small"]["digest"].startswith("sha256:")


def test_pushing_to_nobody(project, capsys):
    assert pew(["dapp", "push", "small", "--root", str(project), "--registry", "127.0.0.1:22099"]) == 1
    assert "cannot be reached" in capsys.readouterr().err
