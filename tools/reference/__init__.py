"""The long runs whose results the chapters show: `python -m tools.reference`."""
