"""The golden run: a dapp's own input, on every platform, must give the one digest that `dapp.yaml` names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import poco.result
from poco.errors import BadInputError, PewError
from sdk.builder.description import load
from sdk.builder.image import PushedImage

RUN_TIMEOUT_S = 300
_DIGEST_LINE = re.compile(r"^(\s*digest:\s*)[\"']?0x[0-9a-f]{64}[\"']?", re.MULTILINE)
#: How a worker runs a stranger's program; `docs/reference/images.md` says why.
HARDENING = (
    "--network=none",
    "--read-only",
    "--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=16m",
    "--shm-size=1m",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=64",
    "--cpus=1",
    "--ulimit=nofile=256",
    "--ulimit=core=0",
    "--user=65532:65532",
    "--log-opt=max-size=1m",
    "--log-opt=max-file=1",
)


@dataclass(frozen=True)
class GoldenRun:
    """One platform's run."""

    platform: str
    digest: str
    seconds: float
    ok: bool


def run_all(root: Path, pushed: PushedImage, name: str) -> list[GoldenRun]:
    """Pull each platform's manifest by digest and run the golden input in a hardened container; images do not stay.

    Raises:
        BadInputError: the golden input is missing.
        PewError: no Docker Engine, or a container fails.
    """
    description = load(root / "dapps" / name)
    golden = root / "dapps" / name / description.golden.input
    if not golden.is_file():
        raise BadInputError(f"The golden input {description.golden.input} of {name} is missing")
    repository = pushed.reference.rpartition(":")[0]
    runs = []
    for platform, digest in pushed.platforms.items():
        image = f"{repository}@{digest}"
        _docker("pull", "--quiet", image)
        started = time.monotonic()
        try:
            found = run_once(image, golden, description.golden.arguments, description.memory_mb)
            seconds = time.monotonic() - started
        finally:
            _docker("image", "rm", image)
        runs.append(GoldenRun(platform, found, round(seconds, 2), found == description.golden.digest))
    return runs


def accept(root: Path, name: str, runs: list[GoldenRun]) -> list[GoldenRun]:
    """Write the digest that all runs gave into `dapp.yaml`; returns the runs as they stand to it.

    Raises:
        BadInputError: `dapp.yaml` has no line for it.
    """
    path = root / "dapps" / name / "dapp.yaml"
    text, count = _DIGEST_LINE.subn(rf'\g<1>"{runs[0].digest}"', path.read_text())
    if count != 1:
        raise BadInputError(f"{path} has no line 'digest: \"0x...\"'", hint=f"write {runs[0].digest} into it")
    path.write_text(text)
    return [replace(run, ok=run.digest == runs[0].digest) for run in runs]


def run_once(image: str, input_file: Path, arguments: str, memory_mb: int) -> str:
    """Run an image on one input file as a task would be, and return the digest of its deterministic output.

    Raises:
        PewError: the container fails, or writes no usable `computed.json`.
    """
    with tempfile.TemporaryDirectory(prefix="pew-golden-") as folder:
        given, out = Path(folder, "in"), Path(folder, "out")
        given.mkdir(mode=0o755)
        out.mkdir()
        Path(folder).chmod(0o755)
        out.chmod(0o777)
        shutil.copyfile(input_file, given / "input")
        memory = (f"--memory={memory_mb}m", f"--memory-swap={memory_mb}m")
        mounts = (f"--volume={given}:/iexec_in:ro", f"--volume={out}:/iexec_out")
        names = ("IEXEC_IN=/iexec_in", "IEXEC_OUT=/iexec_out", "IEXEC_DATASET_FILENAME=input")
        variables = [f"--env={name}" for name in names]
        _docker("run", "--rm", *HARDENING, *memory, *mounts, *variables, image, *shlex.split(arguments))
        return poco.result.digest(_Folder(out), callback=False)


class _Folder:
    """An output folder as `poco.result` reads it; links are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def kind(self, path: PurePosixPath) -> str | None:
        real = self._root / path
        if real.is_symlink():
            return None
        return "file" if real.is_file() else "dir" if real.is_dir() else None

    def children(self, path: PurePosixPath) -> Iterable[str]:
        return (entry.name for entry in (self._root / path).iterdir())

    def chunks(self, path: PurePosixPath) -> Iterable[bytes]:
        yield (self._root / path).read_bytes()


def _docker(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise PewError("The docker command is not installed", hint="install Docker Engine") from error
    except subprocess.TimeoutExpired as error:
        raise PewError(f"docker {arguments[0]} took more than {RUN_TIMEOUT_S} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-600:]
        raise PewError(f"docker {arguments[0]} failed with exit code {done.returncode}: {said}")
    return done.stdout
