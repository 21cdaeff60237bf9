"""Tests of the command that pre-trains."""
