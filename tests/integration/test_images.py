"""The motion dapp for real: built for three architectures, pushed, pulled by digest, run as a stranger's program."""

from __future__ import annotations

import compileall
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from oci.errors import BadChecksumError, ImageUnknownError, PlatformUnsupportedError
from oci.registry import platforms, resolve
from ops.console import ROOT
from sdk.builder import golden
from sdk.builder.description import load
from sdk.builder.image import Builder, PushedImage

NAME = "motion-detection"
DAPP = ROOT / "dapps" / NAME
SCENE = DAPP / "golden" / "scene.avi"
LABELS = {"linux/arm/v7": ("arm", "v7"), "linux/arm64": ("arm64", "v8"), "linux/amd64": ("amd64", "")}
MAX_IMAGE_BYTES = 20_000_000


@pytest.fixture(scope="session")
def pushed(registry: str) -> PushedImage:
    builder = Builder(ROOT)
    return builder.push(builder.build(NAME), registry)


def by_digest(pushed: PushedImage, platform: str) -> str:
    return f"{pushed.reference.rpartition(':')[0]}@{pushed.platforms[platform]}"


@pytest.fixture(scope="session")
def native(pushed: PushedImage, docker_client: docker.DockerClient) -> Iterator[str]:
    """The image for this machine, pulled by its manifest's digest."""
    architecture = docker_client.version()["Arch"]
    image = by_digest(pushed, {"amd64": "linux/amd64", "arm64": "linux/arm64", "arm": "linux/arm/v7"}[architecture])
    docker_client.images.pull(image)
    yield image
    docker_client.images.remove(image)


def run(
    image: str, folder: Path, content: bytes | None, arguments: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run hardened on an input; the output is in `folder/out`."""
    given, out = folder / "in", folder / "out"
    for each in (given, out):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    for each in (*reversed(folder.parents[:2]), folder, given):
        each.chmod(0o755)
    out.chmod(0o777)
    if content is not None:
        (given / "data").write_bytes(content)
    return subprocess.run(
        [
            "docker", "run", "--rm", *golden.HARDENING, "--memory=128m", "--memory-swap=128m",
            f"--volume={given}:/iexec_in:ro",
            f"--volume={out}:/iexec_out", "--env=IEXEC_IN=/iexec_in", "--env=IEXEC_OUT=/iexec_out",
            "--env=IEXEC_INPUT_FILE_NAME_1=data", image, *arguments,
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.docker
@pytest.mark.emulation
def test_the_golden_input_gives_one_digest_everywhere(pushed: PushedImage, docker_client: docker.DockerClient) -> None:
    runs = golden.run_all(ROOT, pushed, NAME)
    assert {each.platform for each in runs} == set(LABELS)
    assert {each.digest for each in runs} == {load(DAPP).golden.digest}


@pytest.mark.docker
@pytest.mark.parametrize("platform", LABELS)
def test_images_are_labelled_for_what_they_are(
    platform: str, pushed: PushedImage, docker_client: docker.DockerClient
) -> None:
    reference = by_digest(pushed, platform)
    image = docker_client.images.pull(reference).attrs
    assert (image["Architecture"], image.get("Variant", ""), image["Os"]) == (*LABELS[platform], "linux")
    assert image["Config"]["User"] == "65532:65532"
    assert image["Config"].get("Volumes") is None
    docker_client.images.remove(reference)


def test_the_registry_resolves_each_platform(pushed: PushedImage) -> None:
    assert set(platforms(pushed.reference)) == set(LABELS)
    for platform, digest in pushed.platforms.items():
        found = resolve(pushed.reference, platform, pushed.checksum)
        assert found.manifest_digest == digest
        assert found.index_digest == pushed.digest
        assert found.reference_by_digest == by_digest(pushed, platform)
        assert 1_000_000 < found.compressed_bytes < MAX_IMAGE_BYTES


def test_what_a_registry_can_say_no_to(pushed: PushedImage, registry: str) -> None:
    with pytest.raises(ImageUnknownError):
        resolve(f"{registry}/nothing:1", "linux/amd64", pushed.checksum)
    with pytest.raises(ImageUnknownError):
        resolve(f"{registry}/{NAME}:nothing", "linux/amd64")
    with pytest.raises(BadChecksumError):
        resolve(pushed.reference, "linux/amd64", "0x" + "12" * 32)
    with pytest.raises(PlatformUnsupportedError):
        resolve(pushed.reference, "linux/riscv64", pushed.checksum)


def test_a_single_manifest_is_an_app_too(pushed: PushedImage) -> None:
    reference = by_digest(pushed, "linux/arm/v7")
    assert resolve(reference, "linux/arm/v7").index_digest == pushed.platforms["linux/arm/v7"]
    with pytest.raises(PlatformUnsupportedError, match="linux/arm/v7"):
        resolve(reference, "linux/arm64")


def test_another_machine_gives_the_same_digest(pushed: PushedImage, tmp_path: Path) -> None:
    """Another folder, umask, time zone, locale and hash seed, other times of files, leftovers of editors and of Python.

    Everything is made anew but the downloads and the compiler's own libraries.
    """
    cache = ROOT / "build" / "cache"
    for name in (NAME, "layers"):
        shutil.copytree(ROOT / "dapps" / name, tmp_path / "dapps" / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = tmp_path / "dapps" / NAME / "program"
    for path in program.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o600)
    compileall.compile_dir(program, quiet=2)
    for leftover in (".DS_Store", "analysis.py~", ".analysis.py.swp", "old.pyc"):
        (program / leftover).write_text("not the program's")
    (tmp_path / "build" / "cache").mkdir(parents=True)
    (tmp_path / "build" / "cache" / "packages").symlink_to(cache / "packages")
    there = {
        "TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "7", "ZIG_GLOBAL_CACHE_DIR": str(cache / "zig")
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "sdk.cli", "--json", "dapp", "build", NAME, "--root", str(tmp_path)],
        cwd=ROOT, env={**os.environ, **there}, umask=0o077, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)[NAME]["digest"] == pushed.digest


@pytest.mark.docker
def test_the_result_says_what_moved(native: str, tmp_path: Path) -> None:
    done = run(native, tmp_path, SCENE.read_bytes())
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"events.json", "event-001.jpg", "computed.json"}
    assert all(len(name) <= 31 for name in names)
    assert json.loads((tmp_path / "out" / "computed.json").read_text()) == {
        "deterministic-output-path": "/iexec_out/events.json"
    }
    events = json.loads((tmp_path / "out" / "events.json").read_text())
    assert len(events["events"]) == 1
    assert [(track["start_s"], track["end_s"]) for track in events["tracks"]] == [(0.6, 4.1), (2.0, 4.8)]
    picture = (tmp_path / "out" / "event-001.jpg").read_bytes()
    assert hashlib.sha256(picture).hexdigest() == events["events"][0]["picture_sha256"]
    assert picture[:3] == b"\xff\xd8\xff"


@pytest.mark.docker
def test_a_zip_of_the_frames_shows_the_same(native: str, tmp_path: Path) -> None:
    run(native, tmp_path, SCENE.read_bytes())
    from_avi = json.loads((tmp_path / "out" / "events.json").read_text())
    packed, content, position = io.BytesIO(), SCENE.read_bytes(), 0
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(from_avi["footage"]["frames"]):
            start = content.index(b"\xff\xd8\xff", position)
            position = content.index(b"00dc", start) if b"00dc" in content[start:] else len(content)
            archive.writestr(f"{number:05}.jpg", content[start:position])
    assert run(native, tmp_path, packed.getvalue()).returncode == 0
    from_zip = json.loads((tmp_path / "out" / "events.json").read_text())
    assert from_zip["tracks"] == from_avi["tracks"]


@pytest.mark.docker
def test_arguments_reach_the_program(native: str, tmp_path: Path) -> None:
    done = run(native, tmp_path, SCENE.read_bytes(), ("--region", "0,0,100,50", "--pictures", "0"))
    assert done.returncode == 0, done.stderr
    events = json.loads((tmp_path / "out" / "events.json").read_text())
    assert len(events["tracks"]) == 1
    assert not list((tmp_path / "out").glob("*.jpg"))


def huge_jpeg() -> bytes:
    """A header that promises 60,000 x 60,000 pixels."""
    frame = SCENE.read_bytes()
    start = frame.index(b"\xff\xd8\xff")
    picture = bytearray(frame[start : frame.index(b"00dc", start)])
    at = picture.index(b"\xff\xc0") + 5
    picture[at : at + 4] = (60_000).to_bytes(2, "big") * 2
    return bytes(picture)


def zipped(*files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(files):
            archive.writestr(f"{number}.jpg", content)
    return packed.getvalue()


@pytest.mark.docker
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "empty"),
        (b"this is not a video at all", "neither an MJPEG AVI nor a zip"),
        (b"PK\x03\x04 not really", "the zip cannot be read"),
        (b"RIFF\xff\xff\xff\xffAVI ", "not MJPEG"),
        (zipped(b"no", b"pictures"), "no frame can be decoded"),
        (zipped(huge_jpeg(), huge_jpeg()), "more than 8192x8192"),
        (zipped(bytes(17_000_000), bytes(17_000_000)), "no frame can be decoded"),
    ],
    ids=["missing", "empty", "text", "zip", "avi", "junk", "huge", "bomb"],
)
def test_unusable_input_is_named(native: str, tmp_path: Path, content: bytes | None, said: str) -> None:
    done = run(native, tmp_path, content)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "computed.json").exists()


@pytest.mark.docker
def test_a_cut_off_file_is_analysed_as_far_as_it_goes(native: str, tmp_path: Path) -> None:
    content = SCENE.read_bytes()
    done = run(native, tmp_path, content[: len(content) * 2 // 3])
    assert done.returncode == 0, done.stderr
    footage = json.loads((tmp_path / "out" / "events.json").read_text())["footage"]
    assert footage["truncated"] is True
    assert 25 < footage["frames"] < 40


@pytest.mark.docker
def test_broken_frames_are_left_out_and_named(native: str, tmp_path: Path) -> None:
    content = bytearray(SCENE.read_bytes())
    at = [place for place in range(len(content) - 4) if content[place : place + 4] == b"00dc"]
    for number in (10, 20):
        content[at[number] + 8 : at[number] + 12] = b"\0\0\0\0"
    content[at[30] + 1500 : at[30] + 1600] = b"\xff" * 100
    done = run(native, tmp_path, bytes(content))
    assert done.returncode == 0, done.stderr
    events = json.loads((tmp_path / "out" / "events.json").read_text())
    assert events["footage"]["broken_frames"] == [10, 20, 30]
    assert len(events["tracks"]) == 2


@pytest.mark.docker
def test_bad_arguments_are_named(native: str, tmp_path: Path) -> None:
    done = run(native, tmp_path, SCENE.read_bytes(), ("--region", "upside-down"))
    assert done.returncode == 2
    assert done.stderr == "error: --region: 'upside-down' is not a number\n"
