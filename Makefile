# make demo | bench | report | test | races | dice | cover | lint | types | check | clean
#
# Each target sets up all it needs in .venv/, one environment per interpreter, from the
# package index this machine is set up for. PYTHON=... chooses the interpreter; without
# it the newest one with the GIL is taken. A second run finds everything in place.

.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

help:
	@echo 'make demo    measure the standard library on a supervised tree, with chaos, and verify it'
	@echo 'make bench   measure the library beside bare threads and plain Pykka; BENCH="chain --quick"'
	@echo '             PEERS=1 has the other libraries installed, to take part'
	@echo 'make report  measure on two builds and write docs/benchmarks.md; FREE=..., REPORT="--quick"'
	@echo 'make test    run the tests (and, with the GIL, ask for full branch coverage of _policy)'
	@echo 'make races   the tests of what threads do, with a switch interval of 1 us'
	@echo 'make dice    thousands of chains made by dice; RUNS=10000'
	@echo 'make cover   the coverage of _policy alone'
	@echo 'make lint    ruff: rules and format'
	@echo 'make types   mypy, strict; and what a user writes, with basedpyright, strict'
	@echo 'make check   lint, types, test'
	@echo 'make clean   remove the environments and what the tools left behind'
	@echo
	@echo 'PYTHON=/path/to/python chooses the interpreter (3.11 or newer).'

# Looking for an interpreter takes a moment: not for help and clean.
ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
found := $(shell sh .ci/find-python $(if $(PYTHON),use '$(PYTHON)',gil))
ifeq ($(found),)
$(error no usable Python, see above)
endif
tag := $(firstword $(found))
base := $(wordlist 2,99,$(found))
venv := .venv/$(tag)
python := $(venv)/bin/python
# The policy's coverage is the same on every build; measuring it once is enough.
cover := $(if $(filter %t,$(tag)),,$(venv)/cover)
endif

# The symbolic link dangles, and so is made again, once its interpreter is gone. Where
# the distribution split ensurepip off, the pip it has can still fill the environment.
$(python):
	@echo "== environment $(venv) of $(base)"
	@'$(base)' -m venv --clear $(venv) 2>/dev/null \
	  || { '$(base)' -m venv --clear --without-pip $(venv) \
	       && '$(base)' -m pip --python $(python) install -qq pip; }

# --group needs pip 25.1.
$(venv)/pip: | $(python)
	@$(python) -m pip install -qq --upgrade 'pip>=25.1'
	@touch $@

# One stamp per dependency group: the demo waits for no test tools.
$(venv)/package: pyproject.toml $(venv)/pip
	@echo "== install threadsup into $(venv)"
	@$(python) -m pip install -qq --editable .
	@touch $@

$(venv)/test $(venv)/cover $(venv)/lint $(venv)/types: $(venv)/%: pyproject.toml $(venv)/package
	@echo "== install what '$*' needs into $(venv)"
	@$(python) -m pip install -qq --group $* \
	  || { echo "== what '$*' needs does not install here: nothing was checked" >&2; exit 1; }
	@touch $@

# What has no wheel for this build takes no part, and its rows say so.
$(venv)/bench: pyproject.toml $(venv)/package
	@echo "== install what 'bench' needs into $(venv)"
	@$(python) -m pip install -qq --group bench
	@$(if $(filter %t,$(tag)),,$(python) -m pip install -qq --group bench-gil \
	  || echo "== some contestants do not install here")
	@touch $@

demo: $(venv)/package
	$(python) -m examples.corpus --chaos 0.02 --verify --compare

bench: $(venv)/$(if $(PEERS),bench,package)
	$(python) -m bench $(BENCH)

# Two interpreters of one minor version; a make of its own sets up the other one's environment.
free = $(shell sh .ci/find-python $(if $(FREE),use '$(FREE)',free))
report: $(venv)/bench
	@test -n '$(free)'
	@$(MAKE) --no-print-directory PYTHON='$(wordlist 2,99,$(free))' environment
	$(python) -m bench.report --gil $(python) --free .venv/$(firstword $(free))/bin/python $(REPORT)

environment: $(venv)/bench

define covered
@$(python) -m coverage erase
$(python) -m coverage run -m pytest -q tests/policy
$(python) -m coverage report
endef

test: $(venv)/test $(cover)
	$(python) -m pytest -q
	$(if $(cover),$(covered))

races: $(venv)/test
	THREADSUP_SWITCH_INTERVAL=1e-6 $(python) -m pytest -q $(RACES)

RACES := tests/runtime tests/chain tests/supervisor tests/pool tests/genserver
RUNS := 2000
dice: $(venv)/test
	THREADSUP_RANDOM_RUNS=$(RUNS) $(python) -m pytest -q tests/chain/test_random.py

cover: $(venv)/test $(venv)/cover
	$(covered)

lint: $(venv)/lint
	$(python) -m ruff check
	$(python) -m ruff format --check

types: $(venv)/types
	$(python) -m mypy
	$(python) -m basedpyright --pythonpath $(python)

check: lint types test

clean:
	rm -rf .venv .coverage .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help demo bench report environment test races dice cover lint types check clean
