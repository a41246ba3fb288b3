"""Results are checked before they are believed, and zips before they are unpacked."""

import hashlib
import stat
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chain.model import Deal, Part, Task
from poco import result
from poco.errors import ERROR_RESULT_CAUSES, BadInputError, Cause
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32
from poco.states import ChainTaskStatus
from sdk.explain import explain
from sdk.results import ResultInvalidError, download, error_of, opened, sha256_of, verify
from sdk.service import Service, ServiceError

PART = Part(ZERO_ADDRESS, ZERO_ADDRESS, 0)
DEAL = Deal(
    "0x" + "11" * 32, PART, PART, PART, 1, 0, ZERO_BYTES32, *[ZERO_ADDRESS] * 3, "", 0, 0, 1, 0, 1, ZERO_ADDRESS
)
TASK = Task(
    "0x" + "22" * 32, ChainTaskStatus.COMPLETED, DEAL.id, 0, 300, 0, 0, 0, ZERO_BYTES32, 1, 1, (), ZERO_BYTES32, b""
)
COMPUTED = b'{"deterministic-output-path": "/iexec_out/answer.txt"}'
GOOD = {"answer.txt": b"42", "computed.json": COMPUTED, "pictures/one.png": b"pixels"}


def zipped(path, files, **attributes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = attributes.get("mode", stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return path


def finished(path):
    """A task on chain whose result is this zip."""
    digest = "0x" + hashlib.sha256(b"42").hexdigest()
    cid = result.cid_of(hashlib.sha256(path.read_bytes()).digest())
    return replace(TASK, digest=digest, results=result.on_chain_link(cid)), cid


@pytest.fixture
def served(tmp_path):
    """A folder that an HTTP server on loopback shows, and the server's address."""
    folder = tmp_path / "served" / "ipfs"
    folder.mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_result_is_fetched_verified_and_unpacked(tmp_path, served):
    folder, url = served
    task, cid = finished(zipped(folder / "zip", GOOD))
    (folder / "zip").rename(folder / cid)
    got = download(Service(url), task, DEAL, tmp_path / "mine")
    assert got.error is None
    assert got.cid == cid
    assert set(got.files) == set(GOOD)
    assert (tmp_path / "mine/iexec_out/pictures/one.png").read_bytes() == b"pixels"
    with pytest.raises(BadInputError, match="exists already"):
        download(Service(url), task, DEAL, tmp_path / "mine")


def test_other_bytes_than_the_cid_says_are_not_kept(tmp_path, served):
    folder, url = served
    task, cid = finished(zipped(folder / "zip", GOOD))
    zipped(folder / cid, {**GOOD, "more": b"x"})
    with pytest.raises(ResultInvalidError, match="other bytes"):
        download(Service(url), task, DEAL, tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_another_digest_than_the_chain_says_is_not_kept(tmp_path, served):
    folder, url = served
    wrong = zipped(folder / "zip", {**GOOD, "answer.txt": b"43"})
    task, cid = finished(wrong)
    wrong.rename(folder / cid)
    with pytest.raises(ResultInvalidError, match="the workers agreed on"):
        download(Service(url), task, DEAL, tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_result_that_is_gone_or_too_large(tmp_path, served):
    folder, url = served
    task, cid = finished(zipped(folder / "zip", GOOD))
    with pytest.raises(ServiceError) as error:
        download(Service(url), task, DEAL, tmp_path / "mine")
    assert error.value.status == 404
    (folder / "zip").rename(folder / cid)
    with pytest.raises(ServiceError, match="larger than"):
        download(Service(url), task, DEAL, tmp_path / "mine", max_bytes=10)


def test_tasks_without_a_result(tmp_path):
    service = Service("http://127.0.0.1:1")
    for task in (
        replace(TASK, status=ChainTaskStatus.ACTIVE),
        replace(TASK, results=b'{"storage": "ipfs", "location": "/ipfs/../../etc/passwd"}'),
        replace(TASK, results=b"\xff"),
        replace(TASK, results=b'{"storage": "dropbox", "location": "/results/x"}'),
    ):
        with pytest.raises(BadInputError):
            download(service, task, DEAL, tmp_path)


@pytest.mark.parametrize(
    ("files", "mode", "said"),
    [
        ({"../x": b""}, stat.S_IFREG, "not a path inside"),
        ({"x": b"/etc/passwd"}, stat.S_IFLNK, "link or a device"),
        ({"x": b"", "x/y": b""}, stat.S_IFREG, "file and a folder"),
    ],
)
def test_what_could_hurt_is_refused_before_it_is_unpacked(tmp_path, served, files, mode, said):
    folder, url = served
    task, cid = finished(zipped(folder / "zip", {**GOOD, **files}, mode=mode | 0o777))
    (folder / "zip").rename(folder / cid)
    with pytest.raises(ResultInvalidError, match=said):
        download(Service(url), task, DEAL, tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_file_that_no_digest_covers_is_damaged(tmp_path, served):
    folder, url = served
    path = zipped(folder / "zip", GOOD)
    path.write_bytes(path.read_bytes().replace(b"pixels", b"slexip"))
    task, cid = finished(path)
    path.rename(folder / cid)
    with pytest.raises(ResultInvalidError, match="not a sound zip"):
        download(Service(url), task, DEAL, tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_broken_zips(tmp_path):
    (tmp_path / "broken").write_bytes(b"PK\x03\x04")
    with pytest.raises(ResultInvalidError, match="not a sound zip"), opened(tmp_path / "broken"):
        pass
    path = zipped(tmp_path / "z", GOOD)
    path.write_bytes(path.read_bytes().replace(b"42", b"43", 1))
    with pytest.raises(ResultInvalidError, match=r"answer\.txt is not a sound zip"), opened(path) as tree:
        verify(tree, finished(path)[0], DEAL)


@pytest.mark.parametrize("callback", [False, True])
@pytest.mark.parametrize("cause", sorted(ERROR_RESULT_CAUSES))
def test_error_results_are_recognised_and_explained(tmp_path, cause, callback):
    with opened(zipped(tmp_path / "z", result.error_result(cause, callback=callback))) as tree:
        assert error_of(tree, callback=callback) is cause
        assert error_of(tree, callback=not callback) is None
    words, way_out = explain(cause)
    assert words
    assert way_out
    assert cause.value not in words


def test_a_program_that_writes_error_json_made_a_result(tmp_path):
    form = result.error_result(Cause.APP_COMPUTE_FAILED, callback=False)
    for files in ({**form, "more": b""}, {**form, "error.json": b'{"cause":"X"}'}, {**form, "computed.json": COMPUTED}):
        with opened(zipped(tmp_path / "z", files)) as tree:
            assert error_of(tree, callback=False) is None


def test_checksums(tmp_path):
    (tmp_path / "x").write_bytes(b"hello")
    assert sha256_of(tmp_path / "x") == "0x2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    with pytest.raises(BadInputError):
        sha256_of(tmp_path / "nothing")
