"""Helper package of the course *AG News from scratch*.

One room a part of the course: `data`, `cleaning`, `vocabulary`, `rnn`, `bert`, `evaluation`; two
that they share: `training` and `plots`; `runs`, a saved model, with the commands `train` and
`predict`, and `serving`, the way out of torch; and the ground: `runtime` (device, seeds, recorded
results) and `files`. A docstring names the chapter that teaches it by its run name, and the section
by its heading: (rnn, "Checkpoints").
"""

__version__ = "0.1.0"
