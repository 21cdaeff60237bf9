"""Helper package of the course *AG News from scratch*.

One module a chapter gathers what it teaches: `data` (chapter 1), `cleaning` (2), `vocabulary` and
`batching` (3), `rnn` and `training` (4), `bert` (5), `evaluation` (6). Each imports its parts from
small modules that can be read in one sitting; the first line of a module names its chapter.
`runtime` (device, seeds, recorded results) and `plots` serve all of them.
"""

__version__ = "0.1.0"
