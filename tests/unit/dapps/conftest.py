"""The dapp's modules and its kernel, compiled for this machine by the compiler that makes the images."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from oci.layout import write_whole
from sdk.builder.native import compile_shared

ROOT = Path(__file__).resolve().parents[3]
DAPP = ROOT / "dapps" / "motion-detection"
MODULES = ("settings", "footage", "jpeg", "kernel", "tracks", "draw", "analysis")


@pytest.fixture(scope="session")
def program() -> Iterator[SimpleNamespace]:
    """The program's modules, as they import each other in the image."""
    sys.path.insert(0, str(DAPP / "program"))
    kept = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(DAPP / "program"))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(kept)


@pytest.fixture(scope="session")
def library() -> str:
    """Path of the kernel for this machine."""
    name = {"x86_64": "linux/amd64", "aarch64": "linux/arm64", "armv7l": "linux/arm/v7"}[platform.machine()]
    content = compile_shared(sorted((DAPP / "kernel").glob("*.c")), name, [], ROOT / "build" / "cache")
    path = ROOT / "build" / "cache" / "libmotion-test.so"
    write_whole(path, content)  # never in place: another process may have it loaded
    return str(path)


@pytest.fixture(scope="session")
def scene() -> ModuleType:
    """The rendered scene."""
    spec = importlib.util.spec_from_file_location("scene", Path(__file__).with_name("scene.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
