"""A lock against a Debian archive that moves on: a small one of our own on loopback, which apt takes for a mirror."""

import hashlib
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from poco.errors import BadInputError, PewError
from sdk.builder import locks, packages
from sdk.builder.description import load
from sdk.builder.image import Builder
from sdk.cli import main as pew

ARCHITECTURES = ("armhf", "arm64", "amd64")
DAPP = """
name: small
version: 1.0.0
summary: A test
platforms: [linux/arm64, linux/arm/v7, linux/amd64]
memory_mb: 16
layers: [{shared: base}, {packages: [pew-tool]}]
files: {data.txt: /opt/data.txt}
entrypoint: [/usr/bin/pew-tool]
golden: {input: data.txt, digest: "0x0000000000000000000000000000000000000000000000000000000000000000"}
"""


class Archive:
    """One release, one component; `pew-tool` depends on `pew-base`."""

    def __init__(self, folder, scratch):
        self.folder, self.scratch = folder, scratch
        self.url = ""

    def publish(self, version):
        """Put a version of both packages in the place of what was there."""
        shutil.rmtree(self.folder / "pool", ignore_errors=True)
        index = dict.fromkeys(ARCHITECTURES, "")
        for architecture in ARCHITECTURES:
            for name, depends in (("pew-base", ""), ("pew-tool", "Depends: pew-base\n")):
                index[architecture] += self._package(name, version, architecture, depends)
        lines = []
        for architecture, text in index.items():
            path = f"main/binary-{architecture}/Packages"
            self._write(f"dists/{packages.SUITE}/{path}", text.encode())
            lines.append(f" {hashlib.sha256(text.encode()).hexdigest()} {len(text)} {path}")
        release = f"Suite: oldstable\nCodename: {packages.SUITE}\nArchitectures: {' '.join(ARCHITECTURES)}\n"
        release += "Components: main\nDate: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n" + "\n".join(lines) + "\n"
        self._write(f"dists/{packages.SUITE}/Release", release.encode())

    def _package(self, name, version, architecture, depends):
        tree = self.scratch / f"{name}-{version}-{architecture}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{depends}"
        control += "Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
        (tree / "DEBIAN" / "control").write_text(control)
        (tree / "usr" / "bin").mkdir(parents=True)
        (tree / "usr" / "bin" / name).write_text(f"#!/bin/true\n# {version} for {architecture}\n")
        where = f"pool/main/{name}_{version}_{architecture}.deb"
        target = self.folder / where
        target.parent.mkdir(parents=True, exist_ok=True)
        argv = ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(tree), str(target)]
        subprocess.run(argv, check=True, capture_output=True)
        content = target.read_bytes()
        return control + f"Filename: {where}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"

    def _write(self, path, content):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(content)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Served on loopback, the only mirror; apt is told to take it without a signature."""
    found = Archive(tmp_path / "archive", tmp_path / "scratch")
    found.folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(found.folder)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    unsigned = tmp_path / "apt.conf"
    unsigned.write_text('Acquire::AllowInsecureRepositories "true";\nAcquire::http::Proxy "DIRECT";\n')
    monkeypatch.setenv("APT_CONFIG", str(unsigned))
    monkeypatch.setattr(packages, "_mirrors", lambda: [found.url])
    monkeypatch.setattr(packages, "_KEYRING", tmp_path / "no-keys")
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "dapps" / "small").mkdir(parents=True)
    (root / "dapps" / "layers").mkdir()
    (root / "dapps" / "layers" / "base.yaml").write_text("packages: [pew-base]\n")
    (root / "dapps" / "small" / "dapp.yaml").write_text(DAPP)
    (root / "dapps" / "small" / "data.txt").write_text("data")
    return root


def versions(root):
    """The versions that the dapp's two locks name, by package."""
    folder = root / "dapps" / "small"
    found = locks.read(load(folder), folder, root / "dapps" / "layers")
    return [{package.name: package.version for package in layer["linux/arm/v7"]} for layer in found]


def test_an_archive_that_moves_on(archive, project, capsys):
    archive.publish("1.0")
    assert pew(["dapp", "build", "small", "--root", str(project)]) == 2
    assert "hint:  run: pew dapp build small --refresh-lock" in capsys.readouterr().err
    assert pew(["dapp", "build", "small", "--refresh-lock", "--root", str(project)]) == 0
    assert "dapps/layers/base.lock is new" in capsys.readouterr().out
    assert versions(project) == [{"pew-base": "1.0"}, {"pew-tool": "1.0"}]
    first = Builder(project).build("small").digest

    archive.publish("2.0")
    assert Builder(project).build("small").digest == first  # from the cache
    shutil.rmtree(project / "build")
    assert pew(["dapp", "build", "small", "--root", str(project)]) == 1
    said = capsys.readouterr().err
    assert "1 locked package could not be fetched from this machine's Debian mirrors: pew-base 1.0" in said
    assert "--refresh-lock" in said and "Traceback" not in said
    assert versions(project) == [{"pew-base": "1.0"}, {"pew-tool": "1.0"}]  # a lock changes only when asked

    assert pew(["dapp", "build", "small", "--refresh-lock", "--root", str(project)]) == 0
    assert versions(project) == [{"pew-base": "2.0"}, {"pew-tool": "2.0"}]
    assert Builder(project).build("small").digest != first


def test_what_apt_cannot_find(archive, project):
    archive.publish("1.0")
    path = project / "dapps" / "layers" / "base.yaml"
    path.write_text("packages: [no-such-package]\n")
    with pytest.raises(PewError, match="Unable to locate package no-such-package") as caught:
        Builder(project).build("small", refresh_lock=True)
    assert "package names" in caught.value.hint


def test_a_mirror_that_does_not_answer(archive, project):
    with pytest.raises(PewError, match="apt cannot resolve packages") as caught:
        Builder(project).build("small", refresh_lock=True)
    assert archive.url not in caught.value.message


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("[{shared: nothing}]", "no shared layer 'nothing'"),
        ("[{shared: base, packages: [x]}]", "says itself"),
        ("[{exclude: [x]}]", "'packages'"),
    ],
)
def test_layers_that_cannot_be(project, layers, said):
    path = project / "dapps" / "small" / "dapp.yaml"
    path.write_text(path.read_text().replace("[{shared: base}, {packages: [pew-tool]}]", layers))
    with pytest.raises(BadInputError, match=said):
        load(path.parent)


def test_dapps_that_share_a_layer_share_its_blob(archive, project):
    archive.publish("1.0")
    other = project / "dapps" / "other"
    shutil.copytree(project / "dapps" / "small", other)
    text = (
        (other / "dapp.yaml").read_text().replace("name: small", "name: other").replace(", {packages: [pew-tool]}", "")
    )
    (other / "dapp.yaml").write_text(text)
    builder = Builder(project)
    blobs = []
    for name in ("small", "other"):
        built = builder.build(name, refresh_lock=True)
        blobs.append({path.name for path in (built.layout / "blobs" / "sha256").iterdir()})
    # the shared layer of each platform, and the layer of the data, which is the same for all
    assert len(blobs[0] & blobs[1]) == 3 + 1
