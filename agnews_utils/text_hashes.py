"""Chapter 5, BERT: hashes that prove which texts a network has read, without showing them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import numpy as np

_WORD = re.compile(r"[a-z0-9]+")


def text_hashes(texts: Iterable[str]) -> np.ndarray:
    """Hash texts by their words alone: case, punctuation and spaces make no difference.

    Parameters
    ----------
    texts : iterable of str
        Cleaned texts.

    Returns
    -------
    array, shape (texts,), int64
        The first eight bytes of the BLAKE2 hash of the lower-cased words and numbers, joined by
        single spaces. Among 100,000 texts two different ones share a hash with a chance of about
        one to four billion.
    """
    digests = [
        hashlib.blake2b(" ".join(_WORD.findall(text.lower())).encode(), digest_size=8).digest()
        for text in texts
    ]
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)
