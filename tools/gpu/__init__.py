"""The long runs on one GPU, within minutes: `make gpu-all`, `python -m tools.gpu --help`."""
