"""Helper package of the course *AG News from scratch*: one module a chapter, a few shared."""

__version__ = "0.1.0"
