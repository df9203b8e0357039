# gpuserve.inference: everything a developer or an operator runs from a checkout. `make` alone lists the targets.
# PYTHON chooses the interpreter of .venv (3.11 to 3.13), e.g. `make venv PYTHON=/usr/bin/python3.12`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PYTHON

.PHONY: help venv venv-test demo demo-clean test lint unit engine sanity build molecule readme docs bench-planner bench-reliability clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## build .venv: Ansible and the libraries the collection uses, ready to run from this directory
	@tools/venv.sh base

venv-test:
	@tools/venv.sh test

demo: venv ## boot a throwaway machine with two simulated GPUs, serve a tiny model on it and ask it a question
	@tools/demo.sh

demo-clean: ## remove everything the demo made
	@tools/demo.sh clean

test: ## all gates: lint, unit, build, sanity, molecule
	@tools/test.sh

lint: venv-test ## style, types, docs, changelog, licences, shell scripts
	@tools/lint.sh

unit: venv-test ## unit tests (ARGS='-k name' narrows them)
	@tools/unit.sh $(ARGS)

engine: venv-test ## the planner's KV cache against the real CPU engine, as in molecule's cpu_serving (ENGINE_PYTHON=... an environment with vLLM)
	@tools/engine.sh

sanity: venv-test ## ansible-test sanity and units, without containers; other releases of ansible-core where their Python is
	@tools/sanity.sh

build: venv-test ## build the collection, install it elsewhere and use it from there
	@tools/build.sh

molecule: venv-test ## molecule scenarios on real systemd machines (SCENARIOS='switch check_first' narrows them)
	@tools/molecule.sh $(SCENARIOS)

readme: venv ## regenerate the variable tables of roles/*/README.md from their argument_specs
	@.venv/bin/python tools/role_readme.py

docs: venv-test ## the documentation as a site in build/docs, with warnings as errors; no network is asked
	@tools/docs.sh

bench-planner: venv ## the planner beside other estimators, on measured rows (ARGS=--install fetches them first)
	@.venv/bin/python benchmarks/planner/compare.py $(ARGS) && .venv/bin/python benchmarks/planner/timing.py

bench-reliability: venv-test ## faults and reloads under load on two real replicas (root needed; FIGURES='kill_main stall' narrows them)
	@benchmarks/reliability/run.sh $(FIGURES)

clean: ## remove .venv, caches and build results
	@rm -rf .venv .cache .ansible build tests/output .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
