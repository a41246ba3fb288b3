"""The hub through web3: deployment file, keystores, reads, logs and transactions."""
