# Every target sets up .venv by itself. `make help` lists them.
PYTHON  ?= python3
PRESET  ?= reduced
PROFILE ?= local
SEEDS   ?=
JOBS    ?=
SET     ?=
ENGINE  ?=
ARGS    ?=
TEST_S  ?= 600

# torch comes as a CPU or a CUDA build, whichever pip's configuration on this machine gives: pinned by version, not by
# hash. Everything else is installed from requirements.lock, by hash.
TORCH   := torch==2.14.1 torchvision==0.29.1

BIN     := .venv/bin
STAMP   := .venv/.stamp
CLI     := $(BIN)/python -m replications
CHOICE   = --preset $(PRESET) $(if $(SEEDS),--seeds $(SEEDS)) $(foreach s,$(SET),--set '$(s)')
HOW      = --profile $(PROFILE) $(if $(JOBS),--jobs $(JOBS)) $(if $(ENGINE),--engine '$(ENGINE)') $(ARGS)
UV      := $(if $(wildcard $(BIN)/uv),$(BIN)/uv,uv)
ALL      = $(shell $(CLI) list --papers)
SMOKE   := RESULTS_DIR=results/runs/smoke

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup data replicate smoke status report bench check test lock clean clean-smoke clean-setup

help: ## this list
	@echo 'make TARGET [PRESET=reduced|paper|smoke] [SEEDS=n] [PROFILE=local|slurm] [JOBS=n] [SET="field=value …"] [ARGS="…"]'
	@echo 'environment: DATA_DIR CACHE_DIR RESULTS_DIR SEED_OFFSET WANDB_MODE WANDB_ENTITY; ENGINE="arguments for Snakemake"'
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {sub(/%/, "<paper>", $$1); printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv from the lock (some minutes the first time)

# The lock goes first, so that torch finds its small dependencies in place and brings the platform's libraries alone.
$(STAMP): pyproject.toml requirements.lock
	@echo 'setting up .venv (an interrupted set-up resumes)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'needs Python 3.11 or later: make PYTHON=python3.11 …'; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock: ## write requirements.lock anew from pyproject.toml (with uv, from .venv or installed)
	@$(UV) pip compile pyproject.toml --extra dev --extra slurm --output-file requirements.lock --quiet --upgrade \
	  --universal --generate-hashes --no-annotate --no-emit-index-url --no-emit-package torch \
	  --no-emit-package torchvision --custom-compile-command 'make lock'

data: $(STAMP) ## fetch and verify the data sets of PRESET, and say where they are
	@$(CLI) data --preset $(PRESET)

replicate-%: $(STAMP) ## train what has no run here (ARGS=--missing: nor in results/snapshot), then tables, verdicts, report
	@$(CLI) run $* $(CHOICE) $(HOW)

replicate: $(STAMP) ## the same for all papers, in one queue
	@$(CLI) run $(ALL) $(CHOICE) $(HOW)

smoke-%: $(STAMP) ## a paper in seconds, on digits, into results/runs/smoke
	@$(SMOKE) $(CLI) run $* --preset smoke $(HOW)

smoke: $(STAMP) ## every paper's smoke preset with its report; the committed results stay untouched
	@$(SMOKE) $(CLI) run $(ALL) --preset smoke $(HOW)

status: $(STAMP) ## runs done, running, failed and to do
	@$(CLI) status --preset $(PRESET)

report: $(STAMP) ## tables, figures, verdicts and report from the runs that exist
	@$(CLI) report

bench: $(STAMP) ## what the harness costs and gains, as ratios measured on this machine
	@$(CLI) bench

check: $(STAMP) ## lint, types, and generated blocks that are stale
	@$(BIN)/ruff check --quiet .
	@$(BIN)/python -m mypy --no-error-summary
	@$(CLI) check

test: $(STAMP) ## the tests (10 minutes at most)
	@OMP_NUM_THREADS=1 timeout --kill-after 20 $(TEST_S) $(BIN)/python -m pytest -n 2 -q

clean: ## remove caches; runs, results and .venv stay
	@rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis build *.egg-info
	@find replications shared tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-smoke: ## remove the smoke runs and their report
	@rm -rf results/runs/smoke

clean-setup: ## remove .venv
	@rm -rf .venv
