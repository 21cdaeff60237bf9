"""Tests of the runs on one GPU."""
