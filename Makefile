# Needs Python 3.11 or newer and make; everything else goes into .venv, at the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where the reproduction writes.
OUTPUT ?= reports/reproduce-paper
# Further arguments: make reproduce-paper ARGS="--lengths 1000", make test ARGS="-k fasta".
ARGS ?=
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable

.PHONY: help reproduce-paper readme picture tutorials gallery plan scale scale-records scheduler docs site demo-models test test-long mutants speed speed-records gpu-report job-overhead several-processes motifs repeatability lint clean

help:
	@echo "make reproduce-paper   measure Table 1 of the fastISM paper here; writes reports/reproduce-paper"
	@echo "make readme            write into README.md what it says of measurements, from their records"
	@echo "make picture           measure and draw the picture at the top of README.md"
	@echo "make docs              serve the documentation at http://127.0.0.1:8000"
	@echo "make site              build the documentation into build/site; a broken link is an error"
	@echo "make tutorials         run the notebooks of docs/tutorials and keep their outputs"
	@echo "make gallery           draw the figures of docs/gallery"
	@echo "make plan              draw the plan of Basset in docs/how_fastism_works.md"
	@echo "make motifs            find the demonstration model's motifs by TF-MoDISco, where modisco-lite is installed"
	@echo "make demo-models       train the demonstration models again (minutes)"
	@echo "make test              run the tests"
	@echo "make test-long         run the tests that take minutes each"
	@echo "make mutants           change policies one by one, and see a test notice each"
	@echo "make speed             measure fastISM beside the better of windows and full passes, variants beside two full passes, first calls"
	@echo "make speed-records     the same, and keep the figures in reports/engine/edges for the engine's page"
	@echo "make gpu-report        check and measure fastISM on a GPU, in at most eight minutes and with PyTorch alone"
	@echo "make repeatability     run one cell of the benchmark three times, and see how far the figures lie apart"
	@echo "make job-overhead      measure what a job costs beside its method, and that its memory stays flat"
	@echo "make several-processes measure what two processes give a job, and what one costs, on two idle cores"
	@echo "make scheduler         measure what handing out shards costs with 8, 64 and 512 workers that sleep (half an hour)"
	@echo "make scale-records     measure what docs/scale.md is computed from, the scheduler included"
	@echo "make scale             compute docs/scale.md from those records and the engine's"
	@echo "make lint              check style, formatting, types and the direction of imports"
	@echo "make clean             remove .venv and what the tools cached"

reproduce-paper: $(VENV)/.installed
	$(BIN)/attribution-bench reproduce-paper --output $(OUTPUT) $(ARGS)

readme: $(VENV)/.installed
	$(BIN)/python docs/update_readme.py

picture: $(VENV)/.installed
	$(BIN)/python docs/draw_first_picture.py $(ARGS)

docs: build/demonstration/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

site: build/demonstration/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# The report that the documentation shows, of a small comparison.
build/demonstration/index.html: $(VENV)/.installed-dev
	$(BIN)/attribution-bench demo --no-open --count 12 --output build/demonstration

tutorials: $(VENV)/.installed-dev
	$(BIN)/python docs/run_tutorials.py

plan: $(VENV)/.installed-dev
	$(BIN)/python docs/draw_plan.py

gallery: $(VENV)/.installed-dev
	$(BIN)/python docs/draw_gallery.py

motifs: $(VENV)/.installed
	$(BIN)/python docs/find_motifs.py $(ARGS)

demo-models: $(VENV)/.installed-dev
	$(BIN)/python -m attribution_bench.demo.train

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not long" --numprocesses logical --maxprocesses 4 --dist loadgroup $(ARGS)

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m long $(ARGS)

mutants: $(VENV)/.installed-dev
	$(BIN)/python tests/helpers/policy_mutants.py

# Scripts that judge bars, each a target as well: make speed-positions ARGS="basset".
JUDGED := never_slower positions variants one_variant first_call keras_full_passes target_reads beside_deepshap

.PHONY: $(JUDGED:%=speed-%)
speed: $(JUDGED:%=speed-%)

speed-first_call speed-keras_full_passes speed-beside_deepshap: export OMP_NUM_THREADS = 1
$(JUDGED:%=speed-%): speed-%: $(VENV)/.installed-dev
	PYTHONPATH=tests/helpers $(BIN)/python tests/speed/$*.py $(ARGS)

# A bar that is missed ends no run here: the page names it.
speed-records: $(VENV)/.installed-dev
	-$(MAKE) --keep-going speed ARGS="--output reports/engine/edges $(ARGS)"
	$(BIN)/attribution-bench report reports/engine

# Needs nothing but PyTorch: it runs on a machine where nothing can be installed, and takes .venv where there is one.
gpu-report:
	PYTHONPATH=.:plugins:tests/helpers $(or $(wildcard $(BIN)/python),$(PYTHON)) tests/speed/gpu_report.py $(ARGS)

repeatability: $(VENV)/.installed-dev
	$(BIN)/python tests/speed/repeatability.py $(ARGS)

job-overhead: $(VENV)/.installed-dev
	PYTHONPATH=tests/helpers $(BIN)/python tests/speed/job_overhead.py $(ARGS)

several-processes: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/several_processes.py $(ARGS)

scheduler: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/scheduler.py $(ARGS)

scale-records: $(VENV)/.installed-dev
	PYTHONPATH=tests/helpers OMP_NUM_THREADS=1 $(BIN)/python tests/speed/scale_inputs.py
	$(BIN)/python tests/speed/worker_memory.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/speed/scheduler.py --output reports/scale

scale: | $(BIN)/python
	$(BIN)/python docs/plan_scale.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing attribution-bench with PyTorch and TensorFlow into $(VENV); this takes some minutes."
	$(INSTALL) '.[all]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need."
	$(INSTALL) '.[dev]'
	@touch $@
