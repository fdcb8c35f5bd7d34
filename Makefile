# biaojie: `make up` starts the whole chain, `make test` runs the default suite. Both need python3.11+ with venv, and make.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null && { echo $$p; break; }; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
ARGS   ?=
JOBS   ?= 2
# With REQUIRE_ALL=1 a test that lacks its outside program fails instead of being skipped.
ifdef REQUIRE_ALL
override TEST_FLAGS += --require-all
endif
ifdef BOUNDED
override LONG_FLAGS += --bounded
endif

.PHONY: up test test-long test-no-web check lint format bench generate lock clean

up: $(VENV)/run.stamp
	@$(BIN)/biaojie up $(ARGS)

test: $(VENV)/dev.stamp
	$(PYTEST) -n $(JOBS) --dist loadgroup -m "not long" $(TEST_FLAGS) $(ARGS)

test-long: $(VENV)/dev.stamp $(VENV)/fuzz.stamp
	$(PYTEST) -m long --timeout=3600 $(TEST_FLAGS) $(LONG_FLAGS) $(ARGS)

# The floors that must live without Django, in an environment that has none.
test-no-web: $(VENV)-no-web/core-test.stamp
	$(VENV)-no-web/bin/python -m pytest -n $(JOBS) -p no:cacheprovider -c tests/no_web.ini --rootdir=. $(ARGS)

check: lint test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate.py --check

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.stamp
	$(BIN)/python tests/benchmarks/run.py --write docs/benchmarks.md $(ARGS)

generate: $(VENV)/dev.stamp
	$(BIN)/python tools/generate.py

# Needs uv; writes the pins with hashes and no addresses.
lock:
	sh tools/lock.sh

clean:
	rm -rf $(VENV) $(VENV)-no-web build dist

$(VENV)/%.stamp: requirements/%.txt requirements/build.txt pyproject.toml
	@$(call make_environment,$(VENV),$<)
	@touch $@

$(VENV)-no-web/%.stamp: requirements/%.txt requirements/build.txt pyproject.toml
	@$(call make_environment,$(VENV)-no-web,$<)
	@touch $@

define make_environment
	test -n "$(PYTHON)" || { echo "需要 Python 3.11、3.12 或 3.13 / Python 3.11 to 3.13 is needed"; exit 1; }; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "缺少 venv 模块：Debian/Ubuntu 请安装 python3-venv / install the venv module (Debian: python3-venv)"; exit 1; }; \
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1) || exit 1; \
	echo "安装依赖（仅首次）/ installing dependencies: $(2)"; \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r $(2) || exit 1; \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . || exit 1
endef
