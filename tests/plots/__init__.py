"""Tests of the figures: what was drawn, not how it looks."""
