"""Foreign binaries: whether the Docker Engine runs them, and how to make it so (binfmt_misc and QEMU).

The proof is always a run: a static ELF of a few bytes that asks the kernel to end it with the code 42.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import struct
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ops.console import ROOT, CommandError, run

BINFMT = Path("/proc/sys/fs/binfmt_misc")
PROBE_CODE = 42
PROBE_IMAGE = "pew-platform-probe:latest"


@dataclass(frozen=True)
class Platform:
    """One platform of the project.

    Attributes:
        name: Docker's name for it.
        qemu: the suffix of QEMU's program and of its binfmt_misc entry.
        bits: 32 or 64, the ELF class.
        machine: `e_machine` of the ELF header.
        code: machine code of `exit(42)` on Linux.
    """

    name: str
    qemu: str
    bits: int
    machine: int
    code: bytes


PLATFORMS = (
    # mov eax, 60; mov edi, 42; syscall
    Platform("linux/amd64", "x86_64", 64, 0x3E, bytes.fromhex("b83c000000bf2a0000000f05")),
    # movz x0, #42; movz x8, #93; svc #0
    Platform("linux/arm64", "aarch64", 64, 0xB7, struct.pack("<3I", 0xD2800540, 0xD2800BA8, 0xD4000001)),
    # mov r0, #42; mov r7, #1; svc #0
    Platform("linux/arm/v7", "arm", 32, 0x28, struct.pack("<3I", 0xE3A0002A, 0xE3A07001, 0xEF000000)),
)

#: `uname -m` of the machines that may run a platform without QEMU (64-bit ARM often runs 32-bit programs too).
NATIVE_ON = {"x86_64": {"x86_64"}, "aarch64": {"aarch64"}, "arm": {"armv6l", "armv7l", "armv8l", "aarch64"}}


def probe_binary(target: Platform) -> bytes:
    """A static little-endian ELF executable (System V ABI, one PT_LOAD segment) that ends with code 42."""
    base = 0x10000 if target.bits == 32 else 0x400000
    header = 52 + 32 if target.bits == 32 else 64 + 56
    size = header + len(target.code)
    ident = b"\x7fELF" + bytes([1 if target.bits == 32 else 2, 1, 1]) + bytes(9)
    if target.bits == 32:
        flags = 0x05000000  # EABI version 5
        rest = struct.pack("<2H5I6H", 2, target.machine, 1, base + header, 52, 0, flags, 52, 32, 1, 0, 0, 0)
        segment = struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000)
    else:
        rest = struct.pack("<2HI3QI6H", 2, target.machine, 1, base + header, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        segment = struct.pack("<2I6Q", 1, 5, 0, base, base, size, size, 0x1000)
    return ident + rest + segment + target.code


def registration(target: Platform, interpreter: str) -> str:
    """The line for binfmt_misc's `register` file; F: the kernel opens QEMU now, so it also works inside containers."""
    ident = b"\x7fELF" + bytes([1 if target.bits == 32 else 2, 1, 1]) + bytes(9)
    magic = ident + struct.pack("<2H", 2, target.machine)
    # the OS ABI byte is free, and `e_type` may be 2 (executable) or 3 (position independent)
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
    as_text = "".join(f"\\x{byte:02x}" for byte in magic), "".join(f"\\x{byte:02x}" for byte in mask)
    return f":qemu-{target.qemu}:M::{as_text[0]}:{as_text[1]}:{interpreter}:F"


def runs_on_this_kernel(target: Platform) -> bool:
    """Whether the binary runs here; a foreign one needs a handler with the F flag, else containers cannot run it."""
    if not _is_native(target) and not _has_fixed_handler(target):
        return False
    folder = ROOT / "build" / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"exit42-{target.qemu}"
    if not program.exists():
        partial = program.with_suffix(f".{os.getpid()}")
        partial.write_bytes(probe_binary(target))
        partial.chmod(0o755)
        partial.rename(program)
    try:
        done = subprocess.run([str(program)], check=False, timeout=20, stdin=subprocess.DEVNULL, capture_output=True)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == PROBE_CODE


def runs_in_container(target: Platform, docker_env: dict[str, str]) -> bool:
    """Whether the engine runs the binary in a container (needed where the engine has a kernel of its own)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for each in PLATFORMS:
            binary = probe_binary(each)
            entry = tarfile.TarInfo(f"exit42-{each.qemu}")
            entry.size, entry.mode = len(binary), 0o755
            tar.addfile(entry, io.BytesIO(binary))
    env = {**os.environ, **docker_env}
    subprocess.run(
        ["docker", "import", "-", PROBE_IMAGE], input=archive.getvalue(), env=env, capture_output=True, check=True
    )
    try:
        argv = [
            "docker",
            "run",
            "--rm",
            "--network=none",
            "--label=pew.run=engine",
            PROBE_IMAGE,
            f"/exit42-{target.qemu}",
        ]
        done = subprocess.run(argv, env=env, capture_output=True, check=False, timeout=120)
        return done.returncode == PROBE_CODE
    finally:
        subprocess.run(["docker", "rmi", "-f", PROBE_IMAGE], env=env, capture_output=True, check=False)


def register(target: Platform) -> None:
    """Mount binfmt_misc where it is not, and register QEMU for `target` with the F flag (root only).

    Raises:
        CommandError, OSError: the kernel or the system refuses.
    """
    if not (BINFMT / "register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])
    entry = BINFMT / f"qemu-{target.qemu}"
    if entry.exists():  # there, but without F or with a lost interpreter: else this would not be called
        entry.write_text("-1")
    interpreter = shutil.which(f"qemu-{target.qemu}-static")
    if interpreter is None:
        raise CommandError([f"qemu-{target.qemu}-static"], 127, "not installed")
    (BINFMT / "register").write_text(registration(target, interpreter))


def _is_native(target: Platform) -> bool:
    return platform.system() == "Linux" and platform.machine() in NATIVE_ON[target.qemu]


def _has_fixed_handler(target: Platform) -> bool:
    for entry in (f"qemu-{target.qemu}", target.qemu, f"qemu-{target.qemu}-static"):
        try:
            lines = (BINFMT / entry).read_text().splitlines()
        except OSError:
            continue
        flags = next((line.partition(":")[2].strip() for line in lines if line.startswith("flags:")), "")
        if "enabled" in lines and "F" in flags:
            return True
    return False
