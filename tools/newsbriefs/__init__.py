"""How News Briefs was made of `briefs.jsonl`: `python -m tools.newsbriefs.make`."""
