"""OCI images without a Docker Engine: references, registry client, deterministic layouts."""
