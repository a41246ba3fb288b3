"""The line to the scheduler: login by EIP-712, long poll, status reports, result upload.

Nothing that arrives is believed before `poco.wire` has checked it, and no answer is read beyond a bound. Calls raise
`SchedulerDownError` for what passes by itself (try again) and `SchedulerRefusedError` for what does not.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3
from pydantic import BaseModel, ValidationError

from chain.wallet import Wallet
from poco.commands import CommandAnswer
from poco.errors import BadInputError, PewError
from poco.topics import BrokerAccess
from poco.transfers import LogAnswer, LogChunk, Piece, UploadState, content_range, repr_digest
from poco.wire import (
    PROTOCOL,
    Challenge,
    ChallengeRequest,
    ErrorBody,
    LedgerDay,
    LoginRequest,
    Poll,
    PollAnswer,
    PoolConfig,
    ResultLink,
    Session,
    StatusAnswer,
    StatusUpdate,
    WorkerInfo,
    login_typed_data,
)
from worker.transport import Connections, within

MAX_ANSWER_BYTES = 4 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_CHUNK = 256 * 1024
#: Bytes of a result in one request: what is refused is noticed after so many.
_PIECE = 16 * 1024 * 1024
#: Refusals of an upload that pass by themselves: the scheduler's node is behind, an earlier connection is still open,
#: another one was faster, bytes were damaged on the way.
_PASSING = frozenset({"NOT_REVEALED", "UPLOAD_BUSY", "WRONG_OFFSET", "BAD_CHECKSUM"})

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class SchedulerDownError(PewError):
    """No answer, or none that can be used now; the same call may work later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="check scheduler_url, and that the scheduler runs", code="SCHEDULER_DOWN")


class SchedulerRefusedError(PewError):
    """The scheduler understood and refused; `status` is the HTTP status."""

    def __init__(self, status: int, message: str, hint: str, code: str) -> None:
        self.status = status
        super().__init__(message, hint=hint, code=code)


class Backoff:
    """Growing pauses with jitter (full jitter between half and the whole): 1 s, 2 s, 4 s ... `most`."""

    def __init__(self, first: float = 1.0, most: float = 60.0, rng: random.Random | None = None) -> None:
        self._first, self._most = first, most
        self._next = first
        self._rng = rng or random.SystemRandom()

    def pause(self) -> float:
        """Seconds to wait now."""
        now, self._next = self._next, min(self._next * 2, self._most)
        return now * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._next = self._first


class Link:
    """One worker's connection to its pool.

    Args:
        url: the scheduler's base URL.
        wallet: signs the login.
        chain_id, hub, workerpool: what the scheduler must say it serves; a session is valid for these alone.
        ca_file: PEM of who may vouch for an https scheduler; None: the system's.
    """

    def __init__(
        self, url: str, wallet: Wallet, chain_id: int, hub: str, workerpool: str, *, ca_file: Path | None = None
    ) -> None:
        self._url = url
        self._ca_file = ca_file
        self._wallet = wallet
        self._expected = (chain_id, hub, workerpool)
        self.wallet, self.chain_id = wallet.address, chain_id
        self._token: str | None = None
        self._login_lock = threading.Lock()
        self._local = threading.local()

    def config(self) -> PoolConfig:
        """What the scheduler serves; BadInputError when it is not the pool of this worker's configuration."""
        found = self._call("GET", "/config", PoolConfig, token=None)
        if found.protocol != PROTOCOL:
            raise BadInputError(
                f"the scheduler speaks protocol {found.protocol}, this worker {PROTOCOL}",
                hint="update the older of the two",
            )
        said = (found.chain_id, found.hub, found.workerpool)
        for name, expected, got in zip(("chain_id", "hub", "workerpool"), self._expected, said, strict=True):
            if expected != got:
                raise BadInputError(
                    f"the scheduler serves {name} {got}, this worker is set up for {expected}",
                    hint="check scheduler_url, deployment and workerpool in the worker's configuration",
                    code="WRONG_POOL",
                )
        return found

    def login(self) -> None:
        """Prove the wallet and take a new session."""
        chain_id, _, workerpool = self._expected
        wallet = self._wallet.address
        asked = self._call("POST", "/login/challenge", Challenge, ChallengeRequest(wallet=wallet), token=None)
        typed = login_typed_data(chain_id, workerpool, wallet, asked.nonce, asked.expires)
        signed = LoginRequest(
            wallet=wallet, nonce=asked.nonce, expires=asked.expires, signature=self._wallet.sign_typed(typed)
        )
        self._token = self._call("POST", "/login", Session, signed, token=None).token

    def register(self, info: WorkerInfo) -> None:
        """Tell what this machine is."""
        self._authorized(lambda token: self._send("PUT", "/workers/me", info, token=token))

    def poll(self, poll: Poll) -> PollAnswer:
        """Heartbeat and question for work; held open by the scheduler for up to `poll.wait_seconds`."""
        patience = poll.wait_seconds + _ANSWER_SECONDS
        return self._authorized(
            lambda token: self._call("POST", "/poll", PollAnswer, poll, token=token, seconds=patience)
        )

    def report(self, task_id: str, update: StatusUpdate) -> StatusAnswer:
        """Tell a replicate's news."""
        path = f"/tasks/{task_id}/status"
        return self._authorized(lambda token: self._call("POST", path, StatusAnswer, update, token=token))

    def answer(self, seq: int, answer: CommandAnswer) -> None:
        """Tell what became of an operator's command."""
        self._authorized(lambda token: self._send("POST", f"/workers/me/commands/{seq}", answer, token=token))

    def broker(self) -> BrokerAccess:
        """What this worker needs to use the pool's MQTT broker."""
        return self._authorized(lambda token: self._call("GET", "/workers/me/broker", BrokerAccess, token=token))

    def publish(self, day: int, ledger: LedgerDay) -> None:
        """Give a day of the energy ledger away for anyone to audit."""
        self._authorized(lambda token: self._send("PUT", f"/workers/me/ledger/{day}", ledger, token=token))

    def upload(
        self,
        task_id: str,
        zip_file: Path,
        stop: Callable[[], bool],
        *,
        digest: str | None = None,
        told: Callable[[int], None] = lambda _size: None,
    ) -> ResultLink:
        """Bring a result to the scheduler, from where an earlier try has ended.

        Args:
            stop: asked between pieces; when it says yes the upload is given up.
            digest: of a result that is delivered before it is contributed.
            told: hears how many bytes the scheduler has.

        Raises:
            SchedulerDownError: also where it broke off: try again.
            SchedulerRefusedError: the scheduler does not want it.
        """
        with zip_file.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
        size, path = zip_file.stat().st_size, f"/results/{task_id}"
        claimed = f"&digest={digest}" if digest is not None else ""
        asked = f"{path}?size={size}&sha256={sha256.hex()}{claimed}"
        try:
            state = self._authorized(lambda token: self._call("GET", asked, UploadState, token=token))
            while state.location is None:
                told(state.offset)
                piece = Piece(state.offset, min(size - state.offset, _PIECE), size)
                if piece.length <= 0:
                    raise SchedulerDownError(f"the scheduler has {state.offset} of {size} bytes, and wants more")
                state = self._upload_piece(path + claimed.replace("&", "?"), zip_file, sha256, piece, stop)
                if state.location is None and state.offset <= piece.start:
                    raise SchedulerDownError(f"the scheduler took {piece.length} bytes and still has {state.offset}")
            told(size)
        except SchedulerRefusedError as error:
            if error.code not in _PASSING:
                raise
            raise SchedulerDownError(error.message) from None
        return ResultLink(location=state.location)

    def _upload_piece(
        self, path: str, zip_file: Path, sha256: bytes, piece: Piece, stop: Callable[[], bool]
    ) -> UploadState:
        seconds = _ANSWER_SECONDS + piece.length / 16_384 + piece.total / 4_000_000
        headers = {"Repr-Digest": repr_digest(sha256), "Content-Range": content_range(piece)}

        def send(token: str) -> UploadState:
            with zip_file.open("rb") as file:
                file.seek(piece.start)
                body = _Stream(file, piece.length, stop, headers)
                return self._call("PUT", path, UploadState, body, token=token, seconds=seconds)

        return self._authorized(send)

    def write_log(self, task_id: str, chunk: LogChunk) -> LogAnswer:
        """Tell what a running program has written."""
        path = f"/tasks/{task_id}/output"
        return self._authorized(lambda token: self._call("PUT", path, LogAnswer, chunk, token=token))

    def close(self) -> None:
        """Close this thread's connections."""
        session = getattr(self._local, "session", None)
        if session is not None:
            session.close()

    def _authorized(self, call: Callable[[str], T]) -> T:
        for _ in range(2):
            token = self._token
            if token is None:
                with self._login_lock:
                    if self._token is None:
                        self._log_in()
                    token = self._token
            try:
                return call(token or "")
            except SchedulerRefusedError as error:
                if error.status != 401:
                    raise
                with self._login_lock:
                    if self._token == token:
                        self._token = None
        raise SchedulerDownError("the scheduler does not accept the session it has just given")

    def _log_in(self) -> None:
        """`login`, whose refusal says nothing about what is to be told: that is kept until it can be."""
        try:
            self.login()
        except SchedulerRefusedError as error:
            raise SchedulerDownError(f"the scheduler refuses the login: {error.message}") from None

    def _session(self) -> Connections:
        session: Connections | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Connections(self._ca_file)
        return session

    def _call(
        self,
        method: str,
        path: str,
        answer: type[M],
        body: BaseModel | _Stream | None = None,
        *,
        token: str | None,
        seconds: float = _ANSWER_SECONDS,
    ) -> M:
        content = self._send(method, path, body, token=token, seconds=seconds)
        try:
            return answer.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise SchedulerDownError(
                f"the scheduler's answer to {path} makes no sense ({'.'.join(map(str, first['loc']))}: {first['msg']})"
            ) from None

    def _send(
        self,
        method: str,
        path: str,
        body: BaseModel | _Stream | None = None,
        *,
        token: str | None,
        seconds: float = _ANSWER_SECONDS,
    ) -> bytes:
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data: Any = None
        if isinstance(body, BaseModel):
            headers["Content-Type"] = "application/json"
            data = body.model_dump_json(exclude_defaults=True).encode()
        elif body is not None:
            headers |= {"Content-Type": "application/zip", "Content-Length": str(body.size), **body.headers}
            data = body
        end = time.monotonic() + seconds
        session = self._session()
        try:
            with within(seconds + _CONNECT_SECONDS), session.request(
                method, self._url + path, data=data, headers=headers, stream=True, allow_redirects=False,
                timeout=(_CONNECT_SECONDS, seconds), verify=session.ca_file,
            ) as got:  # fmt: skip
                content = _read(got, end)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise SchedulerDownError(f"the scheduler does not answer {path} ({type(error).__name__})") from None
        if got.status_code >= 500 or got.status_code == 429:
            raise SchedulerDownError(f"the scheduler answers {path} with HTTP {got.status_code}")
        if not 200 <= got.status_code < 300:
            raise _refusal(got.status_code, path, content)
        return content


class _Stream:
    """The next `size` bytes of a file as a request body."""

    def __init__(self, file: Any, size: int, stop: Callable[[], bool], headers: dict[str, str]) -> None:
        self._file, self.size, self._stop, self.headers = file, size, stop, headers
        self._left = size

    def __len__(self) -> int:
        return self.size

    def read(self, amount: int = -1) -> bytes:
        if self._stop():
            raise OSError("given up")
        wanted = min(self._left, _CHUNK if amount < 0 else min(amount, _CHUNK))
        data: bytes = self._file.read(wanted)
        self._left -= len(data)
        return data


def _read(got: requests.Response, end: float) -> bytes:
    content = bytearray()
    while chunk := got.raw.read1(_CHUNK, decode_content=True):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise requests.RequestException("too long")
        if time.monotonic() > end:
            raise requests.Timeout("too slow")
    return bytes(content)


def _refusal(status: int, path: str, content: bytes) -> SchedulerRefusedError:
    try:
        said = ErrorBody.model_validate_json(content)
    except ValidationError:
        return SchedulerRefusedError(status, f"the scheduler refuses {path} with HTTP {status}", "", "REFUSED")
    return SchedulerRefusedError(status, said.message[:500], said.hint[:500], said.error[:64])
