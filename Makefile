# `make` alone lists the targets. Every target installs what it needs first, and only what is missing.

PYTHON := /usr/bin/python3# the interpreter Debian's libguestfs binding belongs to
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -p tests.support.no_skips
SYSTEM_PACKAGES := yes# "no": the system packages are your own business
# The fast tests need a third of what `make venv` installs; where that is, it serves them too.
FAST_VENV := $(or $(wildcard .venv/.complete),.venv/.fast)
# Where the built guest and the demo's images are kept between runs.
export UNCLONE_TEST_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/unclone-tests

# Without compiled modules, every command and worker that a test starts compiles them again.
unexport PYTHONDONTWRITEBYTECODE

# On Debian an ordinary user's PATH has not got the places where mke2fs and sfdisk are.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-confined fuzz-confined test-packaging deb site release lint format fuzz fuzz-appliance kills bench system-packages venv clean distclean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(FAST_VENV) ## Build a real Debian guest, copy it twice, sanitise both, show the difference
	@$(BIN)/python -m examples.demo.demo

test: venv ## Every test: real guests, real boots (about an hour)
	@$(PYTEST) -p tests.support.distribution -n auto --dist loadfile --no-loadscope-reorder

test-fast: $(FAST_VENV) ## The tests that start no virtual machine and are not slow, on all processors
	@$(PYTEST) -n auto -m "not appliance and not guest and not boot and not slow"

# Runs Python without FUSE, privilege and network, in the one folder that it may write to.
define confined
@folder=$$(mktemp -d) && bwrap --unshare-all --uid 1000 --gid 1000 --ro-bind / / --proc /proc --dev /dev \
	--bind $$folder $$folder --setenv TMPDIR $$folder --setenv HOME $$folder setpriv --no-new-privs -- \
	$(BIN)/python $(1); status=$$?; rm -rf $$folder; exit $$status
endef

test-confined: $(FAST_VENV) ## The direct engine's tests with bwrap: no FUSE, no privilege, one folder to write to
	$(call confined,-m pytest -q -p no:cacheprovider -n auto tests/images/engines tests/images/test_qcow2_overlay.py \
		-m "not appliance and not guest and not boot and not slow")

fuzz-confined: $(FAST_VENV) ## 2,000 damaged file systems and 120 kills in the same sandbox (minutes)
	$(call confined,-m benchmarks.fuzz_direct --images 2000)
	$(call confined,-m benchmarks.kills --count 120)

test-packaging: venv ## Wheel, sdist, README's commands, lowest versions, Debian 13 (minutes)
	@$(PYTEST) -m packaging

deb: venv ## The Debian package, into dist/
	@$(BIN)/python -m release.deb

site: venv ## The documentation as a site, into dist/site
	@$(BIN)/python -m release.site

release: venv ## sdist, wheel, Debian package, SBOM and their sums, into dist/
	@$(BIN)/python -m release

lint: venv ## ruff and strict mypy (the tests run them too)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(FAST_VENV) ## Let ruff format the code and fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fuzz: $(FAST_VENV) ## 2,000 damaged file systems for the direct engine (minutes)
	@$(BIN)/python -m benchmarks.fuzz_direct --images 2000
	@$(BIN)/python -m benchmarks.fuzz_yaml

fuzz-appliance: $(FAST_VENV) ## 600 damaged XFS and btrfs for the appliance engine (an hour)
	@$(BIN)/python -m benchmarks.fuzz_appliance --images 600

kills: $(FAST_VENV) ## 120 kills and signals for the direct engine, 100 for the appliance (an hour)
	@$(BIN)/python -m benchmarks.kills --count 120
	@$(BIN)/python -m benchmarks.kills --count 100 --engine appliance

bench: $(FAST_VENV) ## Wall time against virt-sysprep on copies of the same image
	@$(BIN)/python -m benchmarks.sanitize_vs_virt_sysprep

system-packages: ## Install the Debian packages that are missing (as root, or with sudo)
ifneq ($(SYSTEM_PACKAGES),no)
	@.ci/install-system-packages
endif

venv: .venv/.complete ## The virtual environment with unclone and all development tools

# The libguestfs binding is not on PyPI, so the environment looks through to the system's packages,
# where pip may be already. Modules are compiled when they are first imported: most never are.
# The stamp comes last: an environment whose installation was interrupted is made again.
define install
@echo "Making .venv"
@if [ .venv/.fast -nt pyproject.toml ]; then rm .venv/.fast; else \
	pip=$$($(PYTHON) -c 'import pip' 2>/dev/null && echo --without-pip); \
	$(PYTHON) -m venv --clear --system-site-packages $$pip .venv; fi
@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[$(1)]'
@touch $@
endef

.venv/.fast: pyproject.toml | system-packages
	$(call install,test)

.venv/.complete: pyproject.toml | system-packages
	$(call install,dev)

clean: ## Remove what was generated here (not the cached guest)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the cached guests and roots and the demo's images as well
	rm -rf "$(UNCLONE_TEST_CACHE)"/debian-1[23]-* "$(UNCLONE_TEST_CACHE)"/demo
