"""Tests of the room rnn."""
