# The two commands of the README. Windows and plain Python: see the lines in README.md.
PYTHON ?= python3
BIN := .venv/bin
DATA := datasets/synthetic_poses

.PHONY: install demo test lint clean
.DELETE_ON_ERROR:

install: .venv/.installed

.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

demo: install
	$(BIN)/stm32pose data synthesize --out $(DATA)/train --images 1000 --skeleton person13 --seed 1 --size 256x256 --yaw 75
	$(BIN)/stm32pose data synthesize --out $(DATA)/test --images 200 --skeleton person13 --seed 2 --size 256x256 --yaw 75
	$(BIN)/python stm32ai_main.py --config-path ./config_file_examples/ --config-name demo.yaml

test: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pyright
	$(BIN)/python -m pip check
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	$(BIN)/python -m pyright

clean:
	rm -rf .venv build src/stm32pose.egg-info .pytest_cache .ruff_cache .hypothesis
