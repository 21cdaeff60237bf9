"""Tests: one folder a room of the package, and one for the tools."""
