"""The probes: correct ELF files, registrations that the kernel's handler matches."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from ops import emulation
from ops.emulation import PLATFORMS, Platform, probe_binary, registration


@pytest.mark.parametrize("target", PLATFORMS, ids=lambda each: each.qemu)
def test_probe_is_a_static_executable(target: Platform) -> None:
    binary = probe_binary(target)
    assert binary[:4] == b"\x7fELF"
    assert binary[4] == target.bits // 32
    kind, machine, version = struct.unpack_from("<2HI", binary, 16)
    assert (kind, machine, version) == (2, target.machine, 1)
    wide = target.bits == 64
    entry, headers = struct.unpack_from("<2Q" if wide else "<2I", binary, 24)
    load, offset = struct.unpack_from("<I4xQ" if wide else "<2I", binary, headers)
    address = struct.unpack_from("<Q" if wide else "<I", binary, headers + (16 if wide else 8))[0]
    assert (load, offset) == (1, 0)
    assert binary[entry - address :] == target.code


@pytest.mark.parametrize("target", PLATFORMS, ids=lambda each: each.qemu)
def test_registration_matches_the_platforms_binaries_and_no_others(target: Platform) -> None:
    name, kind, offset, magic, mask, interpreter, flags = registration(target, "/usr/bin/qemu").split(":")[1:]
    assert (name, kind, offset, interpreter, flags) == (f"qemu-{target.qemu}", "M", "", "/usr/bin/qemu", "F")
    wanted, care = (bytes.fromhex(text.replace("\\x", "")) for text in (magic, mask))
    assert len(wanted) == len(care) == 20

    def matches(binary: bytes) -> bool:  # as fs/binfmt_misc.c does
        return all((a ^ b) & m == 0 for a, b, m in zip(binary, wanted, care, strict=False))

    for each in PLATFORMS:
        assert matches(probe_binary(each)) == (each == target)
    shared = bytearray(probe_binary(target))
    shared[16] = 3  # position independent
    shared[7] = 3  # the GNU/Linux ABI
    assert matches(bytes(shared))


def test_a_handler_without_the_f_flag_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "BINFMT", tmp_path)
    foreign = next(each for each in PLATFORMS if not emulation._is_native(each))
    entry = tmp_path / f"qemu-{foreign.qemu}"
    for text, counts in [
        ("enabled\ninterpreter /usr/bin/qemu\nflags: F\n", True),
        ("enabled\ninterpreter /usr/bin/qemu\nflags: POCF\n", True),
        ("enabled\ninterpreter /usr/bin/qemu\nflags: OC\n", False),
        ("disabled\ninterpreter /usr/bin/qemu\nflags: F\n", False),
        ("", False),
    ]:
        entry.write_text(text)
        assert emulation._has_fixed_handler(foreign) is counts
    entry.unlink()
    assert emulation.runs_on_this_kernel(foreign) is False


def test_the_native_probe_runs(tmp_path: Path) -> None:
    native = next(each for each in PLATFORMS if emulation._is_native(each))
    assert emulation.runs_on_this_kernel(native)
    program = tmp_path / "probe"
    program.write_bytes(probe_binary(native))
    program.chmod(0o755)
    assert subprocess.run([program], check=False).returncode == emulation.PROBE_CODE
