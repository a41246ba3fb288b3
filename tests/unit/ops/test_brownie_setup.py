"""What Brownie finds outside the project is put there once, and nothing of the user's is lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from ops import brownie_setup
from ops.console import ROOT

USERS = {
    "live": [{"name": "Ethereum", "networks": [{"id": "mainnet", "chainid": 1, "host": "https://example.org"}]}],
    "development": [
        {"id": "development", "name": "old", "cmd": "anvil", "host": "http://127.0.0.1"},
        {"id": "mine", "name": "mine", "cmd": "ganache", "host": "http://127.0.0.1"},
    ],
}


def networks(home: Path) -> dict:
    return yaml.safe_load((home / ".brownie" / "network-config.yaml").read_text())


def test_networks_are_merged_once(tmp_path: Path) -> None:
    folder = tmp_path / ".brownie"
    folder.mkdir()
    (folder / "network-config.yaml").write_text(yaml.safe_dump(USERS))
    assert brownie_setup.install_networks(home=tmp_path)
    merged = networks(tmp_path)
    assert [group["name"] for group in merged["live"]] == ["Ethereum", "Positive Energy Worker"]
    by_id = {network["id"]: network for network in merged["development"]}
    assert by_id["mine"] == USERS["development"][1]
    assert by_id["development"]["cmd"] == "ganache"
    assert not brownie_setup.install_networks(home=tmp_path)
    assert networks(tmp_path) == merged


def test_public_networks_of_brownie_stay_known(tmp_path: Path) -> None:
    brownie_setup.install_networks(home=tmp_path)
    groups = {group["name"] for group in networks(tmp_path)["live"]}
    assert {"Ethereum", "Arbitrum", "Positive Energy Worker"} <= groups


def package(root: Path, version: str) -> None:
    folder = root / "node_modules" / "solc"
    folder.mkdir(parents=True)
    (folder / "soljson.js").touch()
    (folder / "package.json").write_text(json.dumps({"version": version}))
    (folder / "solc.js").write_text(f'console.log("{version}+commit.0badc0de.Emscripten.clang")')


def test_launcher_is_written_once(tmp_path: Path) -> None:
    package(tmp_path, "0.8.99")
    target = tmp_path / "solcx"
    assert brownie_setup.install_solc(tmp_path, target)
    assert not brownie_setup.install_solc(tmp_path, target)
    out = subprocess.run([str(target / "solc-v0.8.99"), "--version"], capture_output=True, text=True, check=True)
    assert "Version: 0.8.99+commit.0badc0de" in out.stdout


def test_native_compiler_is_kept(tmp_path: Path) -> None:
    package(tmp_path, "0.8.99")
    native = tmp_path / "solcx" / "solc-v0.8.99"
    native.parent.mkdir()
    native.write_bytes(b"\x7fELF...")
    assert not brownie_setup.install_solc(tmp_path, native.parent)
    assert native.read_bytes() == b"\x7fELF..."


def test_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(brownie_setup.SetupError, match="npm ci"):
        brownie_setup.install_solc(tmp_path, tmp_path)
    with pytest.raises(brownie_setup.SetupError, match="npm ci"):
        brownie_setup.install_chains(tmp_path, tmp_path)


def compiled(cache: Path, source: str, *, allow: Path | None = None, cwd: Path | None = None) -> dict:
    request = {
        "language": "Solidity",
        "sources": {"A.sol": {"content": source}},
        "settings": {"outputSelection": {"*": {"*": ["abi"]}}},
    }
    command = ["node", str(ROOT / "ops" / "solc_launcher.js"), str(ROOT / "node_modules" / "solc"), str(cache)]
    command += ["--standard-json", *(["--allow-paths", str(allow)] if allow else [])]
    out = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, check=True, cwd=cwd or cache
    )
    return json.loads(out.stdout)


def test_launcher_compiles_and_caches(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    source = "// SPDX-License-Identifier: MIT\npragma solidity 0.8.34;\ncontract A { function f() external {} }"
    first = compiled(cache, source)
    assert first["contracts"]["A.sol"]["A"]["abi"][0]["name"] == "f"
    assert len(list(cache.glob("*.json"))) == 1
    assert compiled(cache, source) == first
    compiled(cache, source.replace("f()", "g()"))
    assert len(list(cache.glob("*.json"))) == 2


def test_launcher_sees_a_changed_import(tmp_path: Path) -> None:
    """A cached answer counts only while the imported files are the same; files elsewhere are refused."""
    cache, inside = tmp_path / "cache", tmp_path / "inside"
    cache.mkdir()
    inside.mkdir()
    library = inside / "B.sol"
    head = "// SPDX-License-Identifier: MIT\npragma solidity 0.8.34;\n"
    library.write_text(f"{head}contract B {{ function old() external {{}} }}")
    source = f'{head}import "{library}"; contract A is B {{}}'
    assert "errors" in compiled(cache, source)
    for name in ("old", "fresh"):
        library.write_text(f"{head}contract B {{ function {name}() external {{}} }}")
        answer = compiled(cache, source, allow=inside)
        assert [entry["name"] for entry in answer["contracts"]["A.sol"]["A"]["abi"]] == [name]


def test_launcher_refuses_other_options(tmp_path: Path) -> None:
    command = ["node", str(ROOT / "ops" / "solc_launcher.js"), str(tmp_path), str(tmp_path), "--gas"]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 1
    assert "--gas" in out.stderr
