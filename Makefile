# Every command of the project; a newcomer needs two: demo and test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# airflow starts its parts by name, so the environment's commands must be found first
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test ui check lint types layers unit whole bench page pictures fuzz limits waiting crash leak verdicts watchers soak onair starts constraints clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Setting up the environment in $(VENV) (about a minute, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[usersig,rtmp,emulator]' --group dev
	@touch $@

demo: $(VENV)/.installed  ## a whole broadcast on a real Airflow, against the emulator
	@$(BIN)/python -m scripts.demo

test: unit whole  ## every test; says what is left out for want of nginx, ffmpeg, PostgreSQL or a browser

ui: $(VENV)/.installed  ## Airflow's web interface with emulator, connection and example DAGs in place
	@$(BIN)/python -m scripts.ui

check: lint types layers unit  ## linter, formatter, strict typing, layer rules, branch coverage

lint: $(VENV)/.installed  ## of check: ruff, and whether the code is formatted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Nicely: it computes for a minute, and tests that run beside it wait for what others do in time.
types: $(VENV)/.installed  ## of check: mypy, strict
	nice $(BIN)/mypy airflow_provider_timav harness tests example_dags scripts

layers: $(VENV)/.installed  ## of check: who may import whom
	$(BIN)/lint-imports

# They wait more than they compute: more workers than cores.
unit: $(VENV)/.installed  ## of check and of test: the tests that start no whole programs, with branch coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n 4 --dist worksteal -m "not system and not faults"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include='*/leases/start_protocol.py,*/triggers/_clock.py'  # every branch of a decision

# In the order of harness/spread.py: by themselves, the workers would begin with the files that hold the most tests. And only
# the files that hold such tests: each worker would import all.
whole: $(VENV)/.installed  ## of test: whole programs (a real Airflow, nginx, a browser), and every fault of the catalogue
	$(BIN)/python -m pytest -p harness.spread -n 4 --dist loadfile --no-loadscope-reorder -m "system or faults" \
		$$(grep -rlE 'pytest\.mark\.(system|faults)' --include='test_*.py' tests)

bench: $(VENV)/.installed  ## the goals for speed, each with its floor and peer, measured in one run
	$(BIN)/python -m tests.acceptance.bench

page: $(VENV)/.installed  ## how long the page Broadcasts takes for a hundred of them, in a browser (half a minute)
	@$(BIN)/python -m scripts.page

pictures: $(VENV)/.installed  ## take the pictures of docs/ anew, in a browser (two minutes)
	@$(BIN)/python -m scripts.pictures

fuzz: $(VENV)/.installed  ## 100,000 generated answers, and as many connections: what comes of reading them (three minutes)
	@$(BIN)/python -m tests.acceptance.faults.generated 100000
	@$(BIN)/python -m tests.acceptance.faults.connections 100000

limits: $(VENV)/.installed  ## the promised limits of one operation, measured with their real values (two minutes)
	@$(BIN)/python -m tests.acceptance.limits

waiting: $(VENV)/.installed  ## what it costs to wait for hosts: CPU of one question, on a real Airflow (two minutes)
	@$(BIN)/python -m tests.acceptance.waiting

crash: $(VENV)/.installed  ## every operation killed at every point of a start and a stop, on a real Airflow (5 minutes)
	@$(BIN)/python -m tests.acceptance.crash

leak: $(VENV)/.installed  ## everything that can happen to a broadcast, five times each, on a real Airflow (40 minutes, with the machine to itself)
	@$(BIN)/python -m tests.acceptance.leak --rounds 5 --naive --markdown docs/broadcast-matrix.md

verdicts: $(VENV)/.installed  ## sixteen scripted streams, twenty seeds each: what is said of them, beside what viewers see (half a minute)
	@$(BIN)/python -m tests.acceptance.verdicts --markdown docs/verdict-matrix.md

watchers: $(VENV)/.installed  ## a thousand watchers of streams in one loop: CPU of a look, memory of each; AGAINST=folder of another checkout
	@$(BIN)/python -m tests.acceptance.watchers $(if $(AGAINST),--against $(AGAINST))

soak: $(VENV)/.installed  ## broadcasts come and go while the reaper runs: none that is wanted is stopped (22 minutes)
	@$(BIN)/python -m tests.acceptance.load.soak

onair: $(VENV)/.installed  ## 100 broadcasts on air in one triggerer: CPU, memory, and how late they end (10 minutes)
	@$(BIN)/python -m tests.acceptance.load.on_air

starts: $(VENV)/.installed  ## broadcasts that begin at one second: how late their starts are, beside tasks that do nothing (10 minutes)
	@$(BIN)/python -m tests.acceptance.load.starts

constraints: $(VENV)/.installed  ## resolve constraints.txt anew
	$(BIN)/python -m pip install -qq uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url \
		--extra usersig --extra rtmp --extra emulator --group dev --output-file constraints.txt pyproject.toml

clean:  ## remove the environment and all that was made
	rm -rf $(VENV) .demo .ui .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
