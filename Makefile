# Everything runs in .venv, made from constraints.txt by the first target that needs it.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
TORCH := $(shell grep '^torch==' constraints.txt)

# Processes that wait for robots and for each other leave room for more workers than cores; one
# computing thread each is fastest. What tests start need not be compiled anew each time.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=4 \
    --dist=worksteal

.PHONY: install demo test proofs test-drivers test-mujoco fuzz check docs build bench clean

install: $(INSTALLED)  ## .venv, from pinned versions

demo: $(INSTALLED)  ## learn to swing up a MuJoCo cart-pole from scratch, and write a report
	$(BIN)/robo-al run configs/cartpole_swingup.yaml

test: $(INSTALLED)  ## all that shows quickly, or one folder of it: make test FOLDER=tests/models
	$(PYTEST) -m "not proof" $(FOLDER)

# `make proofs SHORT=1` is of minutes: of each kind of proof one, and no further environments. All of
# them are followed by the tests once more, with every shape checked.
proofs: $(INSTALLED)  ## what takes long: kills, histories, devices that break, the README, fuzzing
	$(PYTEST) -m proof $(if $(SHORT),--short)
	$(if $(SHORT),,SHAPES=all $(PYTEST) -m "not proof")
	$(MAKE) fuzz $(if $(SHORT),,test-drivers test-mujoco)

test-drivers:  ## the LeRobot driver, in an environment of LeRobot's own (1.3 GB)
	PYTHON=$(PYTHON) bash tests/packaging/drivers.sh

test-mujoco:  ## what touches MuJoCo, with the oldest that is supported (2 GB)
	PYTHON=$(PYTHON) bash tests/packaging/mujoco.sh

fuzz: $(INSTALLED)  ## what the agent reads from the network, guided by coverage; SHORT=1: briefly
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python tests/agent/fuzz.py .hypothesis/fuzz -max_total_time=$(if $(SHORT),30,600) \
		-rss_limit_mb=1024

check: $(INSTALLED)  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

docs: $(INSTALLED)  ## docs/configuration.md, from the docstrings
	$(BIN)/python docs/configuration.py docs/configuration.md

build: $(INSTALLED)  ## wheel and sdist, each tried in an empty environment
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m build --outdir dist/agent agent
	PYTHON=$(BIN)/python bash tests/packaging/smoke.sh dist/*.whl
	PYTHON=$(BIN)/python bash tests/packaging/smoke.sh dist/*.tar.gz

bench: $(INSTALLED) build/rivals  ## speed beside what else there is; the table of benchmarks/README.md
	PYTHONPATH=$(CURDIR)/build/rivals $(BIN)/python benchmarks/speed --out benchmarks/results/speed.json

# A rival that cannot be installed is reported as not measured.
build/rivals: benchmarks/speed/rivals.txt
	-$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ --requirement $<
	mkdir -p $@ && touch $@

clean:
	rm -rf .venv .venv-lerobot .venv-mujoco dist agent/dist build .*_cache .hypothesis

# torch comes first and exactly: the resolver then has nothing large left to weigh.
$(INSTALLED): pyproject.toml agent/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt $(TORCH)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ./agent --editable '.[dev,dmc]'
	touch $@
