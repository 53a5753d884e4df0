# make demo: trains, deploys, compares and draws low-bit detectors. make test: the quick test suite.
# make test-zoo: one config of each family of MMDetection's, quantized, minutes long. What begins
# within ten minutes: make test-zoo ZOO=--seconds=600.
# make fuzz: damaged files for every reader, changed artifacts for every engine, minutes long.
# make package: an sdist and a wheel in dist/, tried with numpy alone (docs/packaging.md).
# make test-arm: the engine of 64-bit ARM in an emulator. make cross: compiles it for other systems.
# make web: the engine and its package for browsers (docs/web.md).
# All make the virtual environment first, if it is not there or out of date.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ENGINE := lbwdet/deploy/runtime/_native.so

.PHONY: demo test test-zoo test-arm fuzz package cross web lint format benchmark results clean

demo: $(INSTALLED)
	$(BIN)/lbwdet demo

test: $(INSTALLED)
	@$(MAKE) -s $(ENGINE) # a make of its own: the installation may just have compiled it
	$(BIN)/python -m pytest -n 2

$(ENGINE): setup.py $(shell find lbwdet/deploy/csrc -path '*/tests' -prune -o -type f -print)
	$(BIN)/python setup.py -q build_ext --inplace

test-zoo: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m zoo $(ZOO) tests/studies/zoo tests/deploy/lower

# g++-aarch64-linux-gnu and qemu-user-static: Debian's.
test-arm: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m slow -k arm tests/deploy/csrc/test_emulated.py

fuzz: $(INSTALLED)
	$(BIN)/python benchmarks/fuzz/readers.py --seconds 120 --out work_dirs/fuzz
	$(BIN)/python benchmarks/fuzz/artifacts.py --seconds 120 --out work_dirs/fuzz
	$(BIN)/python benchmarks/fuzz/artifacts.py --seeds 200:220 --sanitized --seconds 120 --out work_dirs/fuzz

package: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	LBWDET_DIST=$(CURDIR)/dist $(BIN)/python -m pytest -m slow tests/package

cross: $(INSTALLED)
	$(BIN)/python -m pip install -q -c constraints.txt ziglang
	$(BIN)/python -m pytest -m slow tests/deploy/csrc/test_other_systems.py
	$(BIN)/python -m pytest -m slow -k windows tests/deploy/csrc/test_emulated.py

# The engine for browsers: web/built, which web/ needs. emcc: Debian's emscripten.
web: $(INSTALLED)
	$(BIN)/python web/build.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Not run by the tests: figures depend on the machine.
benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/fake_quantize.py --out docs/results/fake_quantize.json

# Tables of README.md and docs/results.md from the JSON files in docs/results.
results: $(INSTALLED)
	$(BIN)/lbwdet results

$(INSTALLED): constraints.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is too old; the pinned versions need Python 3.11 or newer: make PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "error: no virtual environment; on Debian: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --disable-pip-version-check --only-binary=:all: -c constraints.txt -e '.[dev]'
	@# opencv-python needs libGL, which a machine without a screen may lack
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  version=$$(sed -n 's/^opencv-python==//p' constraints.txt); \
	  $(BIN)/python -m pip uninstall -q -y opencv-python && \
	  $(BIN)/python -m pip install -q --only-binary=:all: "opencv-python-headless==$$version"; }
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
