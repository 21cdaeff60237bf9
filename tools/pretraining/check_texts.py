"""Prove which texts an encoder has read: recount the hashes that are stored beside it.

Example: python -m tools.pretraining.check_texts --data ag_news

Reads the data folder as `python -m tools.pretraining` does, and compares. Prints one line of
JSON; ends with 1 if a test text was read, or if the stored hashes are not those of the data.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agnews_utils.bert.encoder import bundled_encoder, read_hashes
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.duplicates import text_hashes
from agnews_utils.data.loading import News, load_news
from tools.pretraining.texts import read_texts


def count_texts(stored: dict[str, np.ndarray], news: News) -> dict[str, int]:
    """Compare stored hashes with those of a data set.

    Parameters
    ----------
    stored : dict of str to array
        "pretraining" and "test", as `read_hashes` returns them.
    news : News
        The data set; `unlabelled_extra.csv` of its folder counts, too.

    Returns
    -------
    dict
        `read` and `test`: numbers of different texts that the encoder has read, and of the test
        split. `test_texts_read`: how many are both; 0 is the proof. `unknown_texts_read`: texts
        that were read but are not in the data's training rows; `unknown_test_texts`: stored as
        those of the test split, but not in it, or the other way round.
    """
    train = text_hashes(read_texts(news)[0]["text"])
    test = np.unique(text_hashes(repair_frame(news.test)["text"]))
    return {
        "read": len(stored["pretraining"]),
        "test": len(test),
        "test_texts_read": int(np.isin(stored["pretraining"], test).sum()),
        "unknown_texts_read": int((~np.isin(stored["pretraining"], train)).sum()),
        "unknown_test_texts": len(np.setxor1d(stored["test"], test)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if all is as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pretraining.check_texts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", help="ag_news, newsbriefs or a folder")
    parser.add_argument("--encoder", type=Path, help="default: the one that comes with the course")
    options = parser.parse_args(arguments)
    try:
        stored = read_hashes(options.encoder or bundled_encoder())
        counts = count_texts(stored, load_news(options.data))
    except (ValueError, OSError) as error:
        print(f"python -m tools.pretraining.check_texts: {error}", file=sys.stderr)
        return 1
    print(json.dumps(counts))
    return int(any(counts[name] for name in counts if name not in ("read", "test")))


if __name__ == "__main__":
    sys.exit(main())
