"""Tests of the room cleaning."""
