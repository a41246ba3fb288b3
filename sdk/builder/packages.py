"""Debian packages of a foreign architecture: resolved by apt in a world of its own, locked, fetched, checked by sha256.

A lock names versions, hashes and pool paths, and no server: packages come from the mirrors that this machine's own
apt is set up with.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oci.layout import write_whole
from poco.errors import PewError
from sdk.builder.description import PackageLayer

SUITE = "bookworm"
#: Debian's names of the platforms' architectures.
DEBIAN = {"linux/arm/v7": "armhf", "linux/arm64": "arm64", "linux/amd64": "amd64"}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_HELPER = Path("/usr/lib/apt/apt-helper")
_OTHER_MIRROR = "PEW_DEBIAN_MIRROR"
_INSTALL = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One locked package file."""

    name: str
    version: str
    sha256: str
    size: int
    path: str


#: The packages of one layer, per platform.
Locked = dict[str, list[Package]]


def resolve(layers: list[PackageLayer], platforms: Sequence[str], cache: Path) -> list[Locked]:
    """Ask apt what layers are today: each with what it depends on, less what the layers below it hold.

    Args:
        layers: in their order.
        platforms: of the image.
        cache: folder for apt's own state.

    Returns:
        Per layer and platform its packages, sorted by name.

    Raises:
        PewError: no apt, no mirror, or apt cannot satisfy the request.
    """
    locked: list[Locked] = [{} for _ in layers]
    for platform in platforms:
        world = _AptWorld(cache / "apt" / DEBIAN[platform], DEBIAN[platform])
        world.update()
        taken: set[str] = set()
        asked: list[str] = []
        for number, layer in enumerate(layers):
            asked += layer.packages
            found = [package for package in world.closure(asked) if package.name not in taken]
            taken |= {package.name for package in found}
            kept = [package for package in found if package.name not in layer.exclude]
            locked[number][platform] = sorted(kept, key=lambda package: package.name)
    return locked


def fetch(packages: list[Package], cache: Path) -> list[Path]:
    """The package files, from the cache or from the machine's mirrors, each checked against its sha256.

    Raises:
        PewError: the archive no longer has one, or no mirror answers.
    """
    folder = cache / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not (folder / package.sha256).exists()]
    for mirror in _mirrors() if missing else []:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            command = [str(_HELPER), "-q", "-o", "Acquire::Retries=2", "download-file"]
            for package in missing:
                uri = package.path.replace("+", "%2b").replace("~", "%7e")
                command += [f"{mirror}/{uri}", f"{fresh}/{package.sha256}", f"SHA256:{package.sha256}"]
            subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
            for path in Path(fresh).iterdir():
                # Read, not moved: it is a link where the mirror is a folder. apt checks the hash too; a cache is only
                # as good as its names.
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == path.name:
                    write_whole(folder / path.name, content)
        missing = [package for package in missing if not (folder / package.sha256).exists()]
        if not missing:
            break
    if missing:
        names = ", ".join(f"{package.name} {package.version}" for package in missing[:5])
        names += ", ..." if len(missing) > 5 else ""
        count = "1 locked package" if len(missing) == 1 else f"{len(missing)} locked packages"
        raise PewError(
            f"{count} could not be fetched from this machine's Debian mirrors: {names}",
            hint="check the network; if the archive has newer versions: pew dapp build --refresh-lock",
        )
    return [folder / package.sha256 for package in packages]


class _AptWorld:
    """apt with its own state for one architecture; only keys, proxies and logins are the machine's."""

    def __init__(self, folder: Path, architecture: str) -> None:
        for sub in ("lists/partial", "archives/partial"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("")
        signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
        (folder / "sources.list").write_text("".join(f"deb {signed}{uri} {SUITE} main\n" for uri in _mirrors()))
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Dir::State": folder,
            "Dir::State::status": folder / "status",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder,
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Debug::NoLocking": "true",
        }
        self._options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        self._architecture = architecture

    def update(self) -> None:
        self._run("apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update")

    def closure(self, names: list[str]) -> list[Package]:
        plan = self._run("apt-get", "-qq", "--simulate", "install", *names)
        chosen = [f"{name}={version}" for name, version in _INSTALL.findall(plan)]
        shown = self._run("apt-cache", "show", *chosen)
        packages = {}
        for stanza in shown.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
            if "Filename" in fields:
                name = fields["Package"]
                packages[name] = Package(
                    name, fields["Version"], fields["SHA256"], int(fields["Size"]), fields["Filename"]
                )
        return list(packages.values())

    def _run(self, tool: str, *arguments: str) -> str:
        command = [tool, *self._options, *arguments]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if line.startswith("E:")), done.stderr[-300:])
            said = re.sub(r"https?://[^ ]*", "the mirror", said)
            raise PewError(
                f"apt cannot resolve packages for {self._architecture}: {said}",
                hint="check the package names in dapp.yaml and the network, then try again",
            )
        return done.stdout


def _mirrors() -> list[str]:
    """Base addresses of the Debian mirrors of this machine's apt.

    Raises:
        PewError: this is no Debian-like system, or it knows no Debian mirror.
    """
    if not _HELPER.exists():
        raise PewError(
            "Debian's apt is needed to build images, and this system has none",
            hint="build on Debian, or with: docker buildx build --platform linux/arm64 dapps/<name>",
        )
    found = [os.environ[_OTHER_MIRROR].rstrip("/")] if os.environ.get(_OTHER_MIRROR) else []
    folder = Path("/etc/apt")
    for path in [*sorted(folder.glob("sources.list.d/*.sources"))]:
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(
                line.split(":", 1) for line in stanza.splitlines() if ":" in line and not line.startswith(("#", " "))
            )
            if fields.get("Enabled", "yes").strip() != "no":
                found += _main_uris(fields.get("URIs", "").split(), fields.get("Suites", "").split())
    for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines:
            if match := re.match(r"deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)\s", line + " "):
                found += _main_uris([match[1]], [match[2]])
    if not found:
        raise PewError(
            "No Debian mirror is set up on this machine",
            hint=f"name one: {_OTHER_MIRROR}=<address of a Debian mirror> pew dapp build ...",
        )
    return list(dict.fromkeys(found))


def _main_uris(uris: list[str], suites: list[str]) -> list[str]:
    """A Debian mirror carries all releases: any Debian release's main suite shows that it is one."""
    releases = {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}
    return [uri.rstrip("/") for uri in uris if uri.startswith(("http:", "https:", "file:")) and releases & set(suites)]
