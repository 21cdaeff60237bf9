"""Tests of the reference runs."""
