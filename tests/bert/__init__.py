"""Tests of the room bert."""
