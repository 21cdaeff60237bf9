# AG News from scratch. Two commands matter: `make run` and `make test`.
#
#   make run  [DATA=ag_news|newsbriefs|messages|"a folder"] [CHAPTER="1 3"]  execute the course, see build/
#   make test [LANE=classroom|modern] [DEVICE=cpu|cuda]            all tests, every notebook too
#   make check                                                     what an author needs: see CONTRIBUTING.md
#   make lab                                                       JupyterLab on notebooks/
#   make data [DATA=imdb|sms]                                      download AG News (31 MB), or those
#   make encoder                                                   download a real BERT (91 MB)
#   make page [RUN="a trained model"]                              a web page of it in one file: docs/page.md
#   make gpu  [DATA="newsbriefs ag_news"]                          every notebook on a GPU, timed
#   make gpu-all DATA=<folder> [SECONDS=780]                       all long runs on one GPU, the best first
#
# For whoever edits the course: check, folders, notebooks, record, results, sync, refresh, lint, format, bench,
# browser-test, publish, lock.

LANE ?= classroom
# torchtext's last release stops the classroom at Python 3.11; the modern environment takes the
# Python of Colab, 3.12, where one is installed. Yours: make PYTHON=/path/to/python
runs = $(shell $(1) -c "print(1)" 2>/dev/null)
first = $(firstword $(foreach python,$(1),$(if $(call runs,$(python)),$(python))))
PYTHON_classroom = python3.11
PYTHON_modern = $(call first,python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python) python3.11)
PYTHON ?= $(PYTHON_$(LANE))
DATA ?=
CHAPTER ?=
DEVICE ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

VENV_classroom := .venv
VENV_modern := .venv-modern
VENV := $(VENV_$(LANE))
ifeq ($(VENV),)
$(error LANE=$(LANE): expected classroom or modern)
endif
READY := $(VENV)/ready
BIN := $(VENV)/bin
COURSE := $(BIN)/python -m tools.builder
# One argument for the shell, whatever spaces and quotes the name of a folder has.
quote := '
quoted = '$(subst $(quote),'\'',$(1))'
DATA_OPTION := $(if $(DATA),--data $(call quoted,$(DATA)))

.PHONY: run test check lab data encoder page folders gpu gpu-all gpu-pack notebooks record results sync refresh lint format bench browser-test \
    publish lock environment
.DEFAULT_GOAL := run

environment: $(READY)

# The stamp is written last, so that an installation that broke off is taken up again.
$(READY): requirements/$(LANE).txt pyproject.toml
	@test -x $(BIN)/python || command -v "$(PYTHON)" >/dev/null || { echo "$(or $(PYTHON),Python) was not found. Install Python 3.11, or name yours: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements/$(LANE).txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

# Asked for once in each environment: a network that gives none must not be waited for every time.
# Without it the course goes on with the encoder that comes with it; `make encoder` tries again.
ENCODER := $(VENV)/encoder-asked-for
$(ENCODER): | $(READY)
	@$(BIN)/python -m agnews_utils.bert.download || true
	@touch $@

run: $(READY) $(ENCODER)
	$(COURSE) run $(DATA_OPTION) $(CHAPTER)

# DEVICE=cuda: the notebooks run on the GPU, or, where torch sees none, nothing runs at all.
test: $(READY) $(ENCODER)
	$(if $(DEVICE),$(BIN)/python -m tools.builder.device $(DEVICE) --check)
	$(if $(DEVICE),AGNEWS_DEVICE=$(DEVICE)) $(BIN)/python -m pytest tests notebooks --nbval-lax --nbval-current-env \
	    --nbval-cell-timeout 600 --numprocesses auto --maxprocesses 4 --dist loadscope

# Every chapter on every kind of folder that people bring: half an hour. FOLDER and CHAPTER="rnn bert"
# choose some, such as FOLDER=tiny; `make test` runs a part of it.
folders: $(READY)
	$(BIN)/python -m tests.folders $(CHAPTER) $(if $(FOLDER),$(call quoted,$(FOLDER)))

# The state of the repository: sources equal notebooks, prose equals results, layers, types, style.
check: lint
	$(BIN)/python -m pytest checks --numprocesses auto --maxprocesses 4 --dist loadscope

lab: $(READY) $(ENCODER)
	$(BIN)/python -m jupyterlab notebooks

data: $(READY)
	$(BIN)/python -m agnews_utils.data.download $(call quoted,$(or $(DATA),ag_news))

encoder: $(READY)
	$(BIN)/python -m agnews_utils.bert.download

# What exporting needs, beside the course's own environment.
SERVE := $(VENV)/serve-ready
$(SERVE): pyproject.toml | $(READY)
	$(BIN)/python -m pip install --quiet "onnx>=1.16" "onnxruntime>=1.18"
	touch $@

# Needs Node.js; without RUN the bundled encoder is tuned on the data at hand, once.
page: $(READY) $(SERVE)
	$(BIN)/python -m tools.page $(if $(RUN),$(call quoted,$(RUN))) $(DATA_OPTION)

# nbval on one device, notebook after notebook; the seconds of the whole course go to results/.
gpu: $(READY)
	$(BIN)/python -m tools.builder.device $(or $(DEVICE),cuda) $(addprefix --data ,$(DATA)) $(CHAPTER)
	$(COURSE) refresh

# Everything that needs a GPU, side by side within a budget of seconds; `make gpu-pack` makes two
# archives of the inputs for a machine without a network. See CONTRIBUTING.md, "On a GPU".
gpu-all: $(READY)
	$(BIN)/python -m tools.gpu run --seconds $(or $(SECONDS),780) --notebooks --output build/gpu-results $(DATA_OPTION)
	$(BIN)/python -m tools.gpu.collect build/gpu $(DATA_OPTION)

gpu-pack: $(READY)
	$(BIN)/python -m tools.gpu pack build/gpu-inputs $(DATA_OPTION)

notebooks: $(READY)
	$(COURSE) build $(DATA_OPTION) $(CHAPTER)

record: $(READY)
	$(COURSE) record $(DATA_OPTION) $(CHAPTER)

# RUN names runs, ONLY names models of a run; without them all, which takes hours on a CPU.
results: $(READY)
	$(BIN)/python -m tools.reference $(RUN) $(DATA_OPTION) $(if $(ONLY),--only $(ONLY))

sync: $(READY)
	$(COURSE) sync $(CHAPTER)

refresh: $(READY)
	$(COURSE) refresh

CODE := agnews_utils tools tests checks benchmarks

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check $(CODE)
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo

format: $(READY)
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format $(CODE)

bench: $(READY)
	$(BIN)/python -m benchmarks $(DATA_OPTION)

# Needs Chromium; opens the chapters in JupyterLab there, and runs all their cells.
browser-test: $(READY) $(ENCODER)
	AGNEWS_BROWSER="$(or $(CHAPTER),exploration rnn)" $(BIN)/python -m pytest tests/test_browser.py -v

publish: $(READY)
	$(COURSE) publish "$(REPO)"

lock: $(READY)
	$(BIN)/python -m tools.lock
