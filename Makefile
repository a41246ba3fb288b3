# Every target is one command; `make` alone lists them.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.11 python3.12 python3.13; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && command -v $$p && exit; \
  done; echo python3)
endif
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup engine demo network test lint chaos bench-gas bench-energy bench-dapps bench-scale bench-fleet fleet-test interop rollout-rehearsal test-contracts test-contracts-long test-claims coverage test-unit test-integration test-e2e test-docs dapps worker-image scheduler-image stop clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything the workspace needs (.venv, node_modules, compiler)
	@$(PYTHON) -m ops.setup

engine: ## make sure a Docker Engine runs, with foreign binaries and a registry program
	@$(PYTHON) -m ops.engine ensure

demo: export PEW_STARTED := $(shell date +%s)
demo: engine setup ## the whole chain of work: order, three workers, consensus, payment, result
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m scripts.demo

network: engine setup ## the same network, for trying things out: stays until Ctrl-C
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m scripts.network

test: setup ## lint, types, contracts, unit, integration and end-to-end tests
	@exec .venv/bin/python -m ops.check

lint: setup ## style, types and import boundaries
	@exec .venv/bin/python -m ops.check lint

test-contracts: setup ## brownie test
	@exec .venv/bin/python -m ops.check contracts

test-unit: setup ## tests that need no other process
	@exec .venv/bin/python -m ops.check unit

test-integration: setup ## tests with a real Ganache, Docker Engine and registry
	@exec .venv/bin/python -m ops.check integration

test-e2e: setup ## one run of everything
	@exec .venv/bin/python -m ops.check e2e

test-docs: engine setup ## every command of the documentation on a real network, as it is written
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m pytest -q -p no:pytest-brownie tests/docs_run

test-claims: setup ## 100,000 tasks on PostgreSQL and on SQLite, schedulers killed meanwhile: each to one worker (ARGS="--claims 5000")
	@exec .venv/bin/python -m benchmarks.claims $(ARGS)

coverage: setup ## statements and branches of the contracts that their tests reach, at least 95 %
	@exec .venv/bin/python -m ops.coverage

test-contracts-long: setup ## 10,000 steps beside the original and as many whose invariants are checked (SEED=1 STEPS=10000)
	@exec .venv/bin/python -m ops.contracts_long $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS))

chaos: engine setup ## crash campaign over a whole network: 1,000 faults (FAULTS=100 SEED=1 CHAIN=anvil|ganache SECONDS=30); build/bench/chaos.json
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m tests.chaos \
	  $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(CHAIN),--chain $(CHAIN)) $(if $(SECONDS),--seconds $(SECONDS))

bench-gas: setup ## gas of our contracts beside that of the original, step by step
	@brownie compile --all >/dev/null && exec .venv/bin/python -m benchmarks.gas

bench-dapps: engine setup ## images, their reproducibility and golden inputs, motion detection beside OpenCV's, faults that the weather station finds
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m benchmarks.dapps

bench-energy: setup ## the energy gate against its rivals over years of sun; writes build/bench/energy.json
	@exec .venv/bin/python -m benchmarks.energy $(ARGS)

interop: engine setup ## iExec's own client against our services, our services on iExec's own contracts; build/bench/interop.json
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m tests.interop $(ARGS)

rollout-rehearsal: engine setup ## the way to a testnet with everything that goes wrong there; build/bench/rollout.json
	@brownie compile --all >/dev/null && DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m tests.rollout $(ARGS)

bench-scale: engine setup ## 100, 1,000 and 5,000 simulated workers against one scheduler, and what a real worker costs; build/bench/scale.json
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m benchmarks.scale $(ARGS)

fleet-test: engine setup ## many workers for real: Ansible, brokers, PostgreSQL, replicas, Chromium, the simulator (ARGS="-k page")
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m tests.fleet $(ARGS)

bench-fleet: engine setup ## the simulator's speed, what the radio costs, replicas that die; build/bench/fleet.json
	@DOCKER_HOST="$$($(PYTHON) -m ops.engine host)" && export DOCKER_HOST && exec .venv/bin/python -m benchmarks.fleet $(ARGS)

dapps: setup ## cross-build the images of dapps/ for amd64, arm64 and arm/v7
	@.venv/bin/pew dapp build

worker-image: setup ## cross-build the image of the worker itself for arm64 and amd64
	@.venv/bin/python -m scripts.worker_image

scheduler-image: setup ## cross-build the image of the scheduler for amd64 and arm64 (ops/compose.yaml)
	@.venv/bin/python -m scripts.scheduler_image

stop: ## end what an earlier run left running
	@[ ! -x .venv/bin/python ] || .venv/bin/python -m ops.stack stop

clean: stop ## remove what was built; keep the installed workspace
	@rm -rf reports .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name stamps ! -name tools -exec rm -rf {} +

distclean: clean ## remove the installed workspace too
	@rm -rf .venv node_modules build
