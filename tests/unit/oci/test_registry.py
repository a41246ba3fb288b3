"""The registry client against registries that fail, lie, dawdle or ask for tokens."""

from __future__ import annotations

import json
import socket
import time

import pytest

from oci.errors import (
    BadChecksumError,
    ImageError,
    ImageInvalidError,
    ImageUnknownError,
    PlatformUnsupportedError,
    RegistryUnreachableError,
)
from oci.manifest import DOCKER_MANIFEST, MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST, sha256_digest
from oci.registry import platforms, resolve
from poco.errors import BadInputError, Cause

CONFIG = json.dumps({"os": "linux", "architecture": "arm64", "variant": "v8"}).encode()
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "c", "digest": sha256_digest(CONFIG), "size": len(CONFIG)},
        "layers": [{"mediaType": "l", "digest": "sha256:" + "1" * 64, "size": 1000}],
    }
).encode()
INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": sha256_digest(MANIFEST),
                "size": len(MANIFEST),
                "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
            },
            {
                "mediaType": OCI_MANIFEST,
                "digest": "sha256:" + "2" * 64,
                "size": 5,
                "platform": {"os": "unknown", "architecture": "unknown"},
            },
        ],
    }
).encode()


def serve(registry, **tags: bytes) -> None:
    for content in (MANIFEST, INDEX):
        registry.answers[f"/v2/a/manifests/{sha256_digest(content)}"] = (200, {"Content-Type": OCI_INDEX}, content)
    registry.answers[f"/v2/a/blobs/{sha256_digest(CONFIG)}"] = (200, {}, CONFIG)
    for tag, content in tags.items():
        registry.answers[f"/v2/a/manifests/{tag}"] = (200, {}, content)


def test_an_index_is_resolved_to_the_platforms_manifest(registry):
    serve(registry, t=INDEX)
    found = resolve(f"{registry.host}/a:t", "linux/arm64/v8", "0x" + sha256_digest(INDEX)[7:])
    assert found.reference_by_digest == f"{registry.host}/a@{sha256_digest(MANIFEST)}"
    assert (found.index_digest, found.manifest_digest) == (sha256_digest(INDEX), sha256_digest(MANIFEST))
    assert found.platform == "linux/arm64"
    assert found.compressed_bytes == 1000 + len(CONFIG)
    assert platforms(f"{registry.host}/a:t") == ["linux/arm64"]


def test_a_single_manifest_says_its_platform_in_its_config(registry):
    serve(registry, t=MANIFEST)
    found = resolve(f"{registry.host}/a:t", "linux/arm64")
    assert found.manifest_digest == found.index_digest == sha256_digest(MANIFEST)
    assert platforms(f"{registry.host}/a:t") == ["linux/arm64"]
    with pytest.raises(PlatformUnsupportedError) as caught:
        resolve(f"{registry.host}/a:t", "linux/arm/v7")
    assert caught.value.cause is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED


def test_a_docker_manifest_without_its_own_media_type(registry):
    fields = {name: value for name, value in json.loads(MANIFEST).items() if name != "mediaType"}
    content = json.dumps(fields).encode()
    serve(registry)
    registry.answers["/v2/a/manifests/t"] = (200, {"Content-Type": DOCKER_MANIFEST + "; charset=utf-8"}, content)
    assert resolve(f"{registry.host}/a:t", "linux/arm64").manifest_digest == sha256_digest(content)


def test_no_such_platform(registry):
    serve(registry, t=INDEX)
    with pytest.raises(PlatformUnsupportedError, match="it has linux/arm64"):
        resolve(f"{registry.host}/a:t", "linux/amd64")


def test_unknown_image(registry):
    with pytest.raises(ImageUnknownError) as caught:
        resolve(f"{registry.host}/a:t", "linux/amd64")
    assert caught.value.cause is Cause.APP_IMAGE_DOWNLOAD_FAILED
    with pytest.raises(ImageUnknownError):
        resolve(f"{registry.host}/a:t", "linux/amd64", "0x" + "12" * 32)


def test_a_moved_tag_is_a_wrong_checksum(registry):
    serve(registry, t=INDEX)
    with pytest.raises(BadChecksumError) as caught:
        resolve(f"{registry.host}/a:t", "linux/arm64", "0x" + "12" * 32)
    assert caught.value.cause is Cause.APP_IMAGE_BAD_CHECKSUM
    assert sha256_digest(INDEX) in caught.value.message


def test_reference_and_checksum_that_disagree(registry):
    serve(registry, t=INDEX)
    with pytest.raises(BadChecksumError):
        resolve(f"{registry.host}/a@{sha256_digest(INDEX)}", "linux/arm64", "0x" + "12" * 32)


@pytest.mark.parametrize("lied_about", [INDEX, MANIFEST, CONFIG])
def test_content_that_is_not_what_its_digest_says(registry, lied_about):
    serve(registry, t=MANIFEST if lied_about is CONFIG else INDEX)
    kind = "blobs" if lied_about is CONFIG else "manifests"
    registry.answers[f"/v2/a/{kind}/{sha256_digest(lied_about)}"] = (200, {}, lied_about + b" ")
    expected = sha256_digest(INDEX) if lied_about is INDEX else None
    with pytest.raises(BadChecksumError):
        resolve(f"{registry.host}/a:t", "linux/arm64", expected)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_registry_in_trouble_is_unreachable(registry, status):
    registry.answers["/v2/a/manifests/t"] = (status, {}, b"")
    with pytest.raises(RegistryUnreachableError):
        resolve(f"{registry.host}/a:t", "linux/amd64")


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RegistryUnreachableError) as caught:
        resolve(f"127.0.0.1:{port}/a:t", "linux/amd64", timeout_s=5)
    assert caught.value.hint


def test_more_than_a_manifest(registry):
    registry.answers["/v2/a/manifests/t"] = (200, {}, b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(ImageInvalidError):
        resolve(f"{registry.host}/a:t", "linux/amd64")


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b'{"schemaVersion":2}', b'{"schemaVersion":2,"manifests":3}']
)
def test_no_manifest_at_all(registry, content):
    registry.answers["/v2/a/manifests/t"] = (200, {}, content)
    with pytest.raises(ImageInvalidError):
        resolve(f"{registry.host}/a:t", "linux/amd64")


def test_a_byte_now_and_then_does_not_hold_a_worker(registry):
    serve(registry, t=INDEX)
    registry.drip_s = 0.1
    started = time.monotonic()
    with pytest.raises(RegistryUnreachableError):
        resolve(f"{registry.host}/a:t", "linux/arm64", timeout_s=1)
    assert time.monotonic() - started < 3


def test_an_anonymous_token_is_fetched_once(registry):
    serve(registry, t=INDEX)
    registry.guarded = True
    registry.answers["/token?service=s&scope=repository%3Aa%3Apull"] = (200, {}, b'{"token": "let-me"}')
    assert resolve(f"{registry.host}/a:t", "linux/arm64").platform == "linux/arm64"
    assert [path for _, path, _ in registry.seen].count("/token?service=s&scope=repository%3Aa%3Apull") == 1
    assert registry.seen[-1][2] == "Bearer let-me"


def test_a_private_image_is_unknown_to_the_public(registry):
    registry.guarded = True
    with pytest.raises(ImageUnknownError):
        resolve(f"{registry.host}/a:t", "linux/arm64")


@pytest.mark.parametrize(("reference", "platform"), [("Not An Image", "linux/amd64"), ("a:t", "linux"), ("a b", "x/y")])
def test_bad_input_asks_nobody(reference, platform):
    with pytest.raises(BadInputError):
        resolve(reference, platform)


@pytest.mark.parametrize("variant", ["v\u00b2", "v" + "9" * 5000, "\ud800"], ids=["superscript", "long", "half"])
def test_a_variant_that_is_no_number_is_an_image_for_nobody_here(registry, variant):
    """With a cause that an error result can be contributed for: else the pool would pay for the image."""
    config = json.dumps({"os": "linux", "architecture": "arm", "variant": variant}).encode()
    fields = json.loads(MANIFEST)
    fields["config"] |= {"digest": sha256_digest(config), "size": len(config)}
    manifest = json.dumps(fields).encode()
    entry = {"mediaType": OCI_MANIFEST, "digest": sha256_digest(manifest), "size": len(manifest)}
    platform = {"os": "linux", "architecture": "arm", "variant": variant}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{**entry, "platform": platform}]})
    serve(registry, single=manifest, index=index.encode())
    registry.answers[f"/v2/a/blobs/{sha256_digest(config)}"] = (200, {}, config)
    for tag in ("single", "index"):
        with pytest.raises(PlatformUnsupportedError):
            resolve(f"{registry.host}/a:{tag}", "linux/arm/v7")


def test_a_config_that_is_nested_too_deeply_is_invalid(registry):
    config = b"[" * 100_000
    fields = json.loads(MANIFEST)
    fields["config"] |= {"digest": sha256_digest(config), "size": len(config)}
    serve(registry, t=json.dumps(fields).encode())
    registry.answers[f"/v2/a/blobs/{sha256_digest(config)}"] = (200, {}, config)
    with pytest.raises(ImageInvalidError):
        resolve(f"{registry.host}/a:t", "linux/arm64")


@pytest.mark.parametrize("realm", ["https://[::1/token", "http://127.0.0.1:99999/token"])
def test_a_realm_that_is_no_address_gives_no_token(registry, realm):
    registry.answers["/v2/a/manifests/t"] = (401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}, b"{}")
    with pytest.raises(ImageError):
        resolve(f"{registry.host}/a:t", "linux/arm64")
