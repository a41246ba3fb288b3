"""C to shared objects of any target, with zig's compiler (PyPI `ziglang`): one compiler for all of them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from poco.errors import BadInputError, PewError

#: Target and CPU per platform; arm is what every ARMv7 with NEON runs, glibc is Debian 12's.
TARGETS = {
    "linux/arm/v7": ("arm-linux-gnueabihf.2.36", "cortex_a8"),
    "linux/arm64": ("aarch64-linux-gnu.2.36", "baseline"),
    "linux/amd64": ("x86_64-linux-gnu.2.36", "baseline"),
}
_FLAGS = ("-shared", "-fPIC", "-std=c11", "-O3", "-g0", "-s", "-Wall", "-Wextra", "-Werror", "-fno-sanitize=all")


def compile_shared(sources: list[Path], platform: str, flags: list[str], cache: Path) -> bytes:
    """Compile C sources to one shared object for a platform; the same bytes for the same sources.

    Raises:
        BadInputError: a source is missing, or the compiler finds errors in it.
        PewError: the compiler is not installed.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise PewError("The C compiler 'ziglang' is not installed", hint="pip install -r requirements-sdk.txt")
    target, cpu = TARGETS[platform]
    try:
        texts = [(source.name, source.read_bytes()) for source in _with_headers(sources)]
    except OSError as error:
        raise BadInputError(f"A C source cannot be read: {error}", hint="check 'native' in dapp.yaml") from error
    key = hashlib.sha256(repr((texts, target, cpu, flags, _FLAGS, version("ziglang"))).encode()).hexdigest()
    output = cache / "native" / f"{key}.so"
    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        part = output.with_name(f"{key}.{os.getpid()}.so")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target, f"-mcpu={cpu}", *_FLAGS, *flags]
        # Compiled by their names alone, from their own folder: no path of this machine can get into the result.
        command += [*(source.name for source in sources), "-o", str(part.resolve())]
        zig = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str((cache / "zig").resolve())
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig}
        done = subprocess.run(
            command, cwd=sources[0].parent, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BadInputError(f"The compiler refuses {sources[0].name} for {platform}:\n{done.stderr[-2000:]}")
        part.replace(output)
    return output.read_bytes()


def _with_headers(sources: list[Path]) -> list[Path]:
    return [*sources, *sorted(sources[0].parent.glob("*.h"))]
