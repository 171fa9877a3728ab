# Each target sets up what it needs: python3 (3.11 or later) with venv, and make, are enough.

PYTHON ?= python3
VENV ?= .venv
READY := $(VENV)/ready
RUN := $(abspath $(VENV))/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
DEMO := build/demo

# The demo's data: `make demo TRAIN=... VAL=... RECON=... TEST=...` takes other files.
TRAIN ?= $(DEMO)/data/train.npz
VAL ?= $(DEMO)/data/val.npz
RECON ?= $(DEMO)/data/test_recon.npz
TEST ?= $(DEMO)/data/test.npz

# The embedded training set is a ninth of the course's, so it is gone through more often.
ifeq ($(TRAIN),$(DEMO)/data/train.npz)
TRAINING := --epochs 290
endif

.PHONY: demo test test-slow lint bench docs lock clean

$(READY): requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	touch $@

demo: $(READY)
	mkdir -p $(DEMO)
	$(RUN) vae.py digits demo_data $(DEMO)/data
	$(RUN) vae.py $(TRAIN) $(VAL) train $(DEMO)/vae.pth $(DEMO)/gmm_params.pkl $(TRAINING)
	cd $(DEMO) && $(RUN) $(abspath vae.py) $(abspath $(RECON)) test_reconstruction vae.pth
	cd $(DEMO) && $(RUN) $(abspath vae.py) $(abspath $(TEST)) test_classifier vae.pth
	$(RUN) vae.py $(TRAIN) $(VAL) plots $(DEMO)/pictures $(DEMO)/vae.pth
	$(RUN) -m grader score --recon-truth $(RECON) --recon $(DEMO)/vae_reconstructed.npz \
	    --truth $(TEST) --pred $(DEMO)/vae.csv --model $(DEMO)/vae.pth \
	    --gmm $(DEMO)/gmm_params.pkl --json $(DEMO)/scores.json
	$(RUN) -m benchmarks.floors $(DEMO)/scores.json $(TRAIN) $(RECON)
	@echo "pictures: $(DEMO)/pictures"

PYTEST := -m pytest --numprocesses 2 --dist loadfile --durations 12

# `make test TESTS=tests/test_vae.py` runs some of them.
test: $(READY)
	$(RUN) $(PYTEST) -m "not slow" $(TESTS)

test-slow: $(READY)
	$(RUN) $(PYTEST) -m slow

lint: $(READY)
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy vae.py figures.py reports studies grader benchmarks docs tests

# Links between pages are checked; nothing is fetched. (The variable silences an advertisement.)
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo "site: build/site/index.html"

bench: $(READY)
	$(RUN) -m benchmarks.startup
	$(RUN) -m benchmarks.mixture
	$(RUN) -m benchmarks.throughput
	$(RUN) -m benchmarks.grading
	$(RUN) -m benchmarks.feed
	$(RUN) -m benchmarks.scores
	$(RUN) -m benchmarks.ablations

# Pin what pyproject.toml asks for: requirements.lock to run all but the class commands,
# grader/requirements.lock to run the grader alone, requirements-dev.lock for everything. torch's
# local version label (+cpu) is left to the installer.
COMPILE := -m piptools compile --quiet --strip-extras --allow-unsafe --no-header --no-annotate \
    --no-emit-find-links --no-emit-index-url
lock: $(READY)
	$(RUN) -m pip install --quiet pip-tools
	$(RUN) $(COMPILE) --all-extras --output-file requirements-dev.lock pyproject.toml
	$(RUN) $(COMPILE) --constraint requirements-dev.lock --extra coursework \
	    --output-file requirements.lock pyproject.toml
	$(RUN) $(COMPILE) --constraint requirements-dev.lock \
	    --output-file grader/requirements.lock pyproject.toml
	sed --in-place 's/+cpu$$//' requirements.lock grader/requirements.lock requirements-dev.lock

clean:
	rm -rf build
