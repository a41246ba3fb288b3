"""System calls that a stranger's program has no business with, as a filter for the kernel (through libseccomp).

It comes on top of the namespaces: what is left out here has had the kernel's holes of the last years, or holds memory
that no limit of a process counts. The calls answer EPERM; those that programs do without where a kernel is old, ENOSYS
(`clone3`, whose flags no filter can read, and `memfd_create`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import tempfile
from typing import Any

LIBRARY = "libseccomp.so.2"
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL, _MASKED_EQUAL = 4, 7
_REFUSED = (
    # namespaces and mounts
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick",
    "move_mount", "open_tree", "mount_setattr", "open_by_handle_at", "name_to_handle_at", "quotactl", "quotactl_fd",
    # the kernel's own business
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl",
    "add_key", "request_key", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
    "swapon", "swapoff", "syslog", "acct", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "iopl",
    "ioperm", "fanotify_init", "lookup_dcookie", "vhangup", "nfsservctl", "uselib", "_sysctl",
    # other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "sched_setaffinity", "move_pages", "migrate_pages", "mbind", "set_mempolicy",
    # memory that outlives its mapping
    "memfd_secret", "shmget", "msgget",
)  # fmt: skip
_UNKNOWN = ("clone3", "memfd_create")
#: clone's flags for new namespaces (clone(2)): cgroup, UTS, IPC, user, PID, network, mounts.
_NAMESPACES = (0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000)
#: Socket families that no network namespace separates, or with a long history of holes: ALG, VSOCK.
_FAMILIES = (38, 40)
#: Second architectures that a kernel runs beside its own (libseccomp's tokens): i386 and x32; 32-bit ARM.
_COMPANIONS = {"x86_64": (0x40000003, 0x4000003E), "aarch64": (0x40000028,)}


class _Argument(ctypes.Structure):
    """libseccomp's `struct scmp_arg_cmp`."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def program() -> bytes | None:
    """The filter as BPF for this machine; None where it has no libseccomp.

    Raises:
        OSError: libseccomp is there, and refuses.
    """
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    if not context:
        raise OSError(errno.ENOMEM, "libseccomp makes no filter")
    try:
        for token in _COMPANIONS.get(platform.machine(), ()):
            _check(library.seccomp_arch_add(context, ctypes.c_uint32(token)))
        for name in _REFUSED:
            _refuse(library, context, name, errno.EPERM)
        for name in _UNKNOWN:
            _refuse(library, context, name, errno.ENOSYS)
        for flag in _NAMESPACES:
            _refuse(library, context, "clone", errno.EPERM, _Argument(0, _MASKED_EQUAL, flag, flag))
        for family in _FAMILIES:
            _refuse(library, context, "socket", errno.EPERM, _Argument(0, _EQUAL, family, 0))
        with tempfile.TemporaryFile() as file:
            _check(library.seccomp_export_bpf(context, file.fileno()))
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)


def _refuse(library: Any, context: ctypes.c_void_p, name: str, error: int, *arguments: _Argument) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < -1 or number >= 0:  # below -1: a call of another architecture; -1: unknown to this libseccomp
        given = (_Argument * max(1, len(arguments)))(*arguments)
        _check(
            library.seccomp_rule_add_array(
                context, ctypes.c_uint32(_ERRNO | error), number, ctypes.c_uint(len(arguments)), given
            )
        )


def _check(code: int) -> None:
    if code < 0:
        raise OSError(-code, f"libseccomp: {os.strerror(-code)}")
