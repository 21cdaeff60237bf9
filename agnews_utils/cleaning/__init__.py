"""Chapter "Text cleaning": repair what the web broke, and measure every repair.

`repairs` are safe on any text, `lossy` steps throw something away, `pipeline` puts steps in a row,
`augmentation` makes more texts of one, `experiments` measures what any of it is worth.
"""

from agnews_utils.cleaning.augmentation import OPERATIONS, augment
from agnews_utils.cleaning.lossy import (
    ascii_words_only,
    lower_case,
    remove_stop_words,
    replace_numbers,
    stem_words,
    stop_words,
    strip_punctuation,
)
from agnews_utils.cleaning.pipeline import (
    DEFAULT_STEPS,
    LOSSY_STEPS,
    Cleaner,
    clean_frame,
    repair_frame,
)
from agnews_utils.cleaning.repairs import (
    backslashes_to_spaces,
    normalize_unicode,
    normalize_whitespace,
    remove_datelines,
    remove_tags_and_links,
    repair_entities,
)

__all__ = [
    "DEFAULT_STEPS",
    "LOSSY_STEPS",
    "OPERATIONS",
    "Cleaner",
    "ascii_words_only",
    "augment",
    "backslashes_to_spaces",
    "clean_frame",
    "lower_case",
    "normalize_unicode",
    "normalize_whitespace",
    "remove_datelines",
    "remove_stop_words",
    "remove_tags_and_links",
    "repair_entities",
    "repair_frame",
    "replace_numbers",
    "stem_words",
    "stop_words",
    "strip_punctuation",
]
