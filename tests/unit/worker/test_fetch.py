"""Datasets and inputs over a real HTTP server that misbehaves on demand."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.console import ROOT
from poco.errors import Cause
from poco.hexes import ZERO_BYTES32
from poco.result import cid_of
from tests.unit.worker.files_server import DATA, Answer, Files, drip, serving
from worker.config import FetchLimits
from worker.runner import fetch
from worker.runner.errors import Interrupted, RunError
from worker.runner.fetch import Fetcher, input_name
from worker.runner.public import is_public

ADDRESS = "0x" + "ab" * 20
SHA256 = hashlib.sha256(DATA).digest()
CHECKSUM = "0x" + SHA256.hex()
OPEN = FetchLimits(file_mb=2, total_mb=3, seconds=20, allow_private_addresses=True)
MB = 1_048_576


@pytest.fixture(scope="module")
def server() -> Iterator[Files]:
    with serving() as files:
        yield files


@pytest.fixture
def files(server: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(fetch, "_PAUSE_SECONDS", 0.0)
    server.asked.clear()
    server.headers.clear()
    server.play = {"/data": [Answer()]}
    server.raw = {}
    return server


def fetcher(**changes: object) -> Fetcher:
    return Fetcher(OPEN.model_copy(update=changes), lambda: False)


def dataset(files: Files, folder: Path, path: str, checksum: str = CHECKSUM, **changes: object) -> Path:
    return fetcher(**changes).dataset(ADDRESS, files.url + path, checksum, folder)


def test_a_dataset_with_its_checksum(files: Files, tmp_path: Path) -> None:
    path = dataset(files, tmp_path, "/data")
    assert path.name == ADDRESS and path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o644
    files.play["/away"] = [Answer(b"", status=302, headers=(("Location", "/data"),))]
    path.unlink()
    assert dataset(files, tmp_path, "/away", ZERO_BYTES32).read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == [ADDRESS]


def test_a_dataset_with_another_checksum_is_refused_and_gone(files: Files, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        dataset(files, tmp_path, "/data", "0x" + "11" * 32)
    assert caught.value.cause is Cause.DATASET_FILE_BAD_CHECKSUM
    assert not list(tmp_path.iterdir())


def test_an_empty_file_is_a_file(files: Files, tmp_path: Path) -> None:
    files.play["/empty"] = [Answer(b"")]
    empty = "0x" + hashlib.sha256(b"").hexdigest()
    assert dataset(files, tmp_path, "/empty", empty).read_bytes() == b""
    assert fetcher().inputs((f"{files.url}/empty",), tmp_path)[0].read_bytes() == b""


def test_what_breaks_off_goes_on_there(files: Files, tmp_path: Path) -> None:
    half = len(DATA) // 2
    files.play["/cut"] = [Answer(cut=half), Answer()]
    assert dataset(files, tmp_path, "/cut").read_bytes() == DATA
    assert files.asked == [("/cut", ""), ("/cut", f"bytes={half}-")]
    assert files.headers[1]["If-Range"] == '"one"'


def test_another_version_in_the_middle_begins_anew(files: Files, tmp_path: Path) -> None:
    other = DATA[::-1]
    files.play["/changed"] = [Answer(cut=5000), Answer(other, etag='"two"')]
    url = f"{files.url}/changed"
    assert fetcher().inputs((url,), tmp_path)[0].read_bytes() == other, "no mixture of the two"
    # a server that ignores If-Range and sends the rest of another version
    files.play["/mixed"] = [Answer(cut=5000), Answer(other, etag='"two"', begin=5000), Answer(other, etag='"two"')]
    assert fetcher().inputs((f"{files.url}/mixed",), tmp_path)[0].read_bytes() == other
    # without a mark of its version, what has no checksum is not glued together
    files.play["/unmarked"] = [Answer(cut=5000, etag=""), Answer(other, etag="")]
    assert fetcher().inputs((f"{files.url}/unmarked",), tmp_path)[0].read_bytes() == other
    files.play["/unmarked-data"] = [Answer(cut=5000, etag=""), Answer(etag="")]
    assert dataset(files, tmp_path, "/unmarked-data").read_bytes() == DATA
    assert files.asked[-1][1] == "bytes=5000-", "with one it goes on"


def test_wrong_after_going_on_is_fetched_once_more(files: Files, tmp_path: Path) -> None:
    part = tmp_path / f"{ADDRESS}.part"
    part.write_bytes(b"x" * 100)
    note = f'{{"url": "{files.url}/data", "validator": "", "size": 100}}'
    part.with_name(part.name + ".json").write_text(note)
    assert dataset(files, tmp_path, "/data").read_bytes() == DATA
    assert [asked for _, asked in files.asked] == ["bytes=100-", ""]


@pytest.mark.parametrize("path", ["/gone", "/down", "/round", "/cut-always", "/odd"])
def test_what_cannot_be_had(files: Files, tmp_path: Path, path: str) -> None:
    files.play |= {
        "/down": [Answer(b"", status=503)],
        "/round": [Answer(b"", status=302, headers=(("Location", "/round"),))],
        "/cut-always": [Answer(cut=100, ranges=False)],
        "/odd": [Answer(b"", status=206)],
    }
    with pytest.raises(RunError) as caught:
        dataset(files, tmp_path, path)
    assert caught.value.cause is Cause.DATASET_FILE_DOWNLOAD_FAILED
    with pytest.raises(RunError) as caught:
        fetcher().inputs((files.url + path,), tmp_path)
    assert caught.value.cause is Cause.INPUT_FILES_DOWNLOAD_FAILED
    assert not list(tmp_path.iterdir()), "nothing of what was refused stays"


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/a", "http://[::1/a", "http://127.0.0.1:-1/a", "http:///a"])
def test_what_is_no_address_fails_with_the_tasks_cause(tmp_path: Path, url: str) -> None:
    """Nobody can fetch it: with any other cause no error result could be contributed, and the pool would pay."""
    with pytest.raises(RunError) as caught:
        fetcher().inputs((url,), tmp_path)
    assert caught.value.cause is Cause.INPUT_FILES_DOWNLOAD_FAILED
    with pytest.raises(RunError) as caught:
        fetcher().dataset(ADDRESS, url, CHECKSUM, tmp_path)
    assert caught.value.cause is Cause.DATASET_FILE_DOWNLOAD_FAILED


def test_sizes_are_bounded(files: Files, tmp_path: Path) -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n"
    files.raw["/endless"] = lambda handler: drip(handler, endless, bytes(65536), 20, pause=0)
    with pytest.raises(RunError, match="larger"):
        fetcher().inputs((f"{files.url}/endless",), tmp_path)
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"
    files.raw["/huge"] = lambda handler: drip(handler, huge, b"", 20)
    began = time.monotonic()
    with pytest.raises(RunError, match="larger"):
        fetcher().inputs((f"{files.url}/huge",), tmp_path)
    assert time.monotonic() - began < 3, "refused by its length"
    with pytest.raises(RunError, match="larger"):
        fetcher(total_mb=2).inputs((f"{files.url}/data?1", f"{files.url}/data?2"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n"])
def test_a_drop_now_and_then_is_too_slow(files: Files, tmp_path: Path, head: bytes) -> None:
    files.raw["/drip"] = lambda handler: drip(handler, head, b"x" if head else b"H", 15)
    began = time.monotonic()
    with pytest.raises(RunError) as caught:
        fetcher(seconds=1).inputs((f"{files.url}/drip",), tmp_path)
    assert caught.value.cause is Cause.INPUT_FILES_DOWNLOAD_FAILED
    assert time.monotonic() - began < 3
    assert not list(tmp_path.iterdir())


def test_a_silent_server_is_left_at_once_when_the_task_is_given_up(files: Files, tmp_path: Path) -> None:
    files.raw["/silent"] = lambda handler: drip(handler, b"", b"", 15)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        Fetcher(OPEN, lambda: time.monotonic() > began + 0.5).inputs((f"{files.url}/silent",), tmp_path)
    assert time.monotonic() - began < 2
    with pytest.raises(Interrupted):
        Fetcher(OPEN, lambda: True).inputs((f"{files.url}/data",), tmp_path)


def test_a_task_leaves_room_for_the_journal(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that fills the disk would end the worker, and a stake with it: the rest of the file has no room."""
    total, used, _ = shutil.disk_usage(tmp_path)
    took: list[int] = []

    def usage(folder: Path) -> tuple[int, int, int]:
        took.append(sum(file.stat().st_size for file in folder.iterdir()))
        return shutil._ntuple_diskusage(total, used, fetch.RESERVE_BYTES + 300_000 - took[-1])

    monkeypatch.setattr(fetch.shutil, "disk_usage", usage)
    with pytest.raises(RunError, match="does not fit") as caught:
        dataset(files, tmp_path, "/data")
    assert caught.value.cause is Cause.DATASET_FILE_DOWNLOAD_FAILED
    assert 0 < max(took) < len(DATA)
    assert not list(tmp_path.iterdir()), "and what was there is free again"


def test_a_bomb_is_not_expanded(files: Files, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(100 * MB), 1)
    files.play["/bomb"] = [Answer(bomb, headers=(("Content-Encoding", "gzip"),))]
    (path,) = fetcher().inputs((f"{files.url}/bomb",), tmp_path)
    assert path.read_bytes() == bomb and path.stat().st_size < MB
    assert files.headers[0]["Accept-Encoding"] == "identity"


def test_input_files_are_named_by_their_address(files: Files, tmp_path: Path) -> None:
    urls = [f"{files.url}/data?a", f"{files.url}/data?b", f"{files.url}/data?../../x"]
    paths = fetcher(total_mb=9).inputs(tuple(urls), tmp_path)
    assert [p.name for p in paths] == [input_name(url) for url in urls]
    assert paths[0].name == "0x" + hashlib.sha256(urls[0].encode()).hexdigest()
    assert all(p.read_bytes() == DATA and p.parent == tmp_path for p in paths)


def test_what_is_there_is_not_fetched_again(files: Files, tmp_path: Path) -> None:
    dataset(files, tmp_path, "/data")
    fetcher().inputs((f"{files.url}/data",), tmp_path)
    asked = len(files.asked)
    dataset(files, tmp_path, "/data")
    fetcher().inputs((f"{files.url}/data",), tmp_path)
    assert len(files.asked) == asked
    (tmp_path / ADDRESS).write_bytes(b"damaged")
    assert dataset(files, tmp_path, "/data").read_bytes() == DATA


def test_ipfs_needs_a_gateway_and_trusts_none(files: Files, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="gateway"):
        fetcher().dataset(ADDRESS, "/ipfs/bafydata", CHECKSUM, tmp_path)
    cid = cid_of(SHA256)
    files.play |= {f"/ipfs/{cid}": [Answer()], f"/liar/ipfs/{cid}": [Answer(b"poison")]}
    liar, none = f"{files.url}/liar", f"{files.url}/nothing"
    found = fetcher(ipfs_gateways=(liar, none, files.url)).dataset(ADDRESS, f"/ipfs/{cid}", CHECKSUM, tmp_path)
    assert found.read_bytes() == DATA
    found.unlink()
    # a raw CID says itself what is right, also for inputs and data without a checksum
    (path,) = fetcher(ipfs_gateways=(liar, files.url)).inputs((f"/ipfs/{cid}",), tmp_path)
    assert path.read_bytes() == DATA
    assert fetcher(ipfs_gateways=(liar, files.url)).dataset(ADDRESS, f"/ipfs/{cid}", ZERO_BYTES32, tmp_path) == found
    found.unlink()
    for gateways, cause in (
        ((liar, none), Cause.DATASET_FILE_DOWNLOAD_FAILED),  # perhaps the other one would have had the right bytes
        ((liar,), Cause.DATASET_FILE_BAD_CHECKSUM),
    ):
        with pytest.raises(RunError) as caught:
            fetcher(ipfs_gateways=gateways).dataset(ADDRESS, f"/ipfs/{cid}", CHECKSUM, tmp_path)
        assert caught.value.cause is cause
        assert not found.exists()
    for bad in ("ftp://x/y", "/etc/passwd", "file:///etc/passwd", "data"):
        with pytest.raises(RunError):
            fetcher().inputs((bad,), tmp_path)


def test_the_operators_credentials_stay_at_home(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    wide = fetcher()
    wide._session.trust_env = True  # as for addresses on the internet
    wide.inputs((f"{files.url}/data",), tmp_path)
    assert "Authorization" not in files.headers[-1]
    own = files.url.replace("://", "://user:word@") + "/data?own"
    fetcher().inputs((own,), tmp_path)
    assert files.headers[-1]["Authorization"].startswith("Basic ")


def test_a_name_that_means_another_place_at_the_second_look_is_no_way_in(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when checked, private when connected to."""
    closed = OPEN.model_copy(update={"allow_private_addresses": False})
    port = int(files.url.rsplit(":", 1)[1])
    real, looks = socket.getaddrinfo, []

    def rebinding(host: str, *given: object, **named: object) -> object:
        looks.append(host)
        where = "8.8.8.8" if len(looks) == 1 else "127.0.0.1"
        return real(where, port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(RunError, match="own network"):
        Fetcher(closed, lambda: False).inputs((f"http://rebind.example:{port}/data",), tmp_path)
    assert len(looks) == 2 and not files.asked


def test_a_task_may_not_read_from_the_operators_network(files: Files, tmp_path: Path) -> None:
    closed = OPEN.model_copy(update={"allow_private_addresses": False})
    for address in (
        f"{files.url}/data",
        "http://localhost/x",
        "http://10.0.0.1/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://169.254.169.254/",
    ):
        with pytest.raises(RunError, match="own network"):
            Fetcher(closed, lambda: False).inputs((address,), tmp_path)
    assert not files.asked


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("100.64.0.1", False), ("0.0.0.1", False),
        ("::ffff:10.1.2.3", False), ("::ffff:8.8.8.8", True), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
        ("64:ff9b:1::a00:1", False), ("2002:7f00:1::", False), ("2002:808:808::", True), ("224.0.0.1", False),
        ("ff02::1", False), ("fe80::1%eth0", False), ("fd00::1", False), ("::", False), ("2001:0:7f00:1::", False),
    ],
)  # fmt: skip
def test_private_addresses_in_all_their_forms(address: str, public: bool) -> None:
    assert is_public(address) is public


turns = st.builds(
    Answer,
    data=st.sampled_from([DATA[:40_000], DATA[:40_000][::-1]]),
    etag=st.sampled_from(['"one"', '"two"', "", 'W/"weak"']),
    cut=st.sampled_from([None, None, 0, 1, 1000, 39_999]),
    begin=st.sampled_from([None, None, None, 0, 7, 1000]),
    ranges=st.booleans(),
    status=st.sampled_from([None, None, None, 500, 416, 404]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(turns, min_size=1, max_size=6))
def test_whatever_a_server_does_a_dataset_is_right_or_refused(
    files: Files, tmp_path: Path, answers: list[Answer]
) -> None:
    files.play["/hostile"] = list(answers)
    right = hashlib.sha256(DATA[:40_000])
    for leftover in tmp_path.iterdir():
        leftover.unlink()
    try:
        path = dataset(files, tmp_path, "/hostile", "0x" + right.hexdigest())
    except RunError as error:
        assert error.cause in (Cause.DATASET_FILE_DOWNLOAD_FAILED, Cause.DATASET_FILE_BAD_CHECKSUM)
        assert not list(tmp_path.iterdir())
    else:
        assert hashlib.sha256(path.read_bytes()).digest() == right.digest()
        assert [p.name for p in tmp_path.iterdir()] == [ADDRESS]


FETCHING = """
import sys
from pathlib import Path
from worker.config import FetchLimits
from worker.runner.fetch import Fetcher
limits = FetchLimits(file_mb=100, total_mb=300, seconds=60, allow_private_addresses=True)
Fetcher(limits, lambda: False).inputs((sys.argv[1],), Path(sys.argv[2]))
"""


def test_a_killed_worker_goes_on_where_it_was(files: Files, tmp_path: Path) -> None:
    data = os.urandom(20 * MB)
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 20971520\r\n\r\n'
    files.raw["/large"] = lambda handler: drip(handler, head + data[: 17 * MB], b"", 20)
    url = f"{files.url}/large"
    process = subprocess.Popen([sys.executable, "-c", FETCHING, url, str(tmp_path)], cwd=ROOT)
    note = tmp_path / (input_name(url) + ".part.json")
    end = time.monotonic() + 20
    while time.monotonic() < end and not (note.exists() and json.loads(note.read_text())["size"] >= 16 * MB):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    del files.raw["/large"]
    files.play["/large"] = [Answer(data)]
    limits = OPEN.model_copy(update={"file_mb": 100, "total_mb": 300})
    (path,) = Fetcher(limits, lambda: False).inputs((url,), tmp_path)
    assert path.read_bytes() == data
    begun = int(files.asked[-1][1].removeprefix("bytes=").rstrip("-"))
    assert begun >= 16 * MB, "all that was safely on disk was not asked for again"
