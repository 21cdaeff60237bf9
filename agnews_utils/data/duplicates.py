"""Find near duplicates among many short texts (exploration, "Near duplicates").

Two texts are near duplicates when the sets of their three-word sequences (shingles) overlap: their
Jaccard similarity reaches a threshold. Comparing all pairs would take hours, so MinHash (Broder
1997) turns each set into a short signature, and banding (Leskovec, Rajaraman and Ullman, "Mining
of Massive Datasets", section 3.4) compares only texts whose signatures agree somewhere. The exact
similarity then decides.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Jaccard similarity of three-word shingles from which two texts count as near duplicates.
NEAR_DUPLICATE_THRESHOLD = 0.5
#: Signature entry of a text without words: it is above every real entry.
EMPTY = np.uint32(2**32 - 1)

_WORD = re.compile(r"[a-z0-9]+")
_BASE = 0x9E3779B97F4A7C15  # odd, with no pattern in its bits: 2**64 divided by the golden ratio
_RECALL = 0.99  # share of the pairs just at the threshold that banding must find
_WINDOW = 32  # neighbors that a text is compared with inside one bucket
_BLOCK = 2048  # texts (or pairs) handled at once, so that the arrays stay in the cache


def list_of_texts(texts: Iterable[str]) -> list[str]:
    """Return texts as a list; raise a TypeError if they are one string, or one of them is none."""
    if isinstance(texts, str):
        raise TypeError("texts is one string: give a list or a column of texts.")
    texts = list(texts)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"text {position} is {type(text).__name__}, not a string: fill missing texts "
                'with "" first.'
            )
    return texts


def words(text: str) -> list[str]:
    """Split a text into lower-case words, runs of the letters a-z and digits; the rest is dropped.

    Examples
    --------
    >>> words("U.S. oil #39;soars")
    ['u', 's', 'oil', '39', 'soars']
    """
    return _WORD.findall(text.lower())


def shingles(text: str, size: int = 3) -> set[tuple[str, ...]]:
    """Return all sequences of `size` consecutive words of a text (exploration, "Near duplicates").

    A text of fewer than `size` words is one shingle; a text without words has none.
    """
    _check_size(size)
    found = words(text)
    if len(found) < size:
        return {tuple(found)} if found else set()
    return set(zip(*(found[start:] for start in range(size)), strict=False))


def jaccard(a: set, b: set) -> float:
    """Return |a and b| / |a or b|, 0 for empty sets (exploration, "Near duplicates")."""
    union = len(a | b)
    return len(a & b) / union if union else 0.0


def minhash_signatures(
    texts: Iterable[str], permutations: int = 64, size: int = 3, seed: int = 0
) -> np.ndarray:
    """Compute signatures whose share of equal entries estimates the Jaccard similarity.

    The same texts give the same signatures in every process and on every machine. The estimate has
    a standard error of at most 0.5 / sqrt(permutations).

    Parameters
    ----------
    texts : iterable of str
        The documents.
    permutations : int
        Entries of a signature: each is the smallest hash of the text's shingles under one of
        `permutations` hash functions.
    size : int
        Words in a shingle.
    seed : int
        Chooses the hash functions; only signatures of one seed can be compared.

    Returns
    -------
    ndarray of uint32 (documents, permutations)
        The signatures. A text without words has `EMPTY` everywhere.

    Raises
    ------
    TypeError
        If `texts` is a single string or holds something else than strings.
    ValueError
        If `permutations` or `size` is below 1.
    """
    return _signatures(*_hashed_sets(texts, size), permutations, seed)


def near_duplicate_pairs(
    texts: Iterable[str],
    threshold: float = NEAR_DUPLICATE_THRESHOLD,
    permutations: int = 64,
    size: int = 3,
    seed: int = 0,
) -> np.ndarray:
    """Find the pairs of texts whose shingles have a Jaccard similarity of at least `threshold`.

    Every pair returned is right; of the pairs just at the threshold about 1 in 100 can be missed,
    and fewer the more alike they are. Where more than 33 texts share a piece of boilerplate, each
    is compared with the next 32 of them instead of with all, so that the cost stays linear: some
    pairs of such a crowd are then missing, but chains of pairs still hold it together in
    `near_duplicate_groups`.

    Parameters
    ----------
    texts : iterable of str
        The documents.
    threshold : float
        Jaccard similarity above 0 and up to 1 from which a pair counts.
    permutations, size, seed : int
        As in `minhash_signatures`.

    Returns
    -------
    ndarray of int64 (pairs, 2)
        Positions of the two texts, the smaller one first, in rising order.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; see `minhash_signatures`.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}: expected a similarity above 0 and up to 1.")
    hashes, starts = _hashed_sets(texts, size)
    signatures = _signatures(hashes, starts, permutations, seed)
    pairs = _candidate_pairs(signatures, threshold)
    # The signature's own estimate drops most candidates; four standard errors of slack keep all
    # but about 1 in 30,000 of those that the exact similarity would accept.
    slack = 4 * 0.5 / np.sqrt(permutations)
    kept = [
        part[(signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1) >= threshold - slack]
        for part in _blocks(pairs)
    ]
    exact = [part[_exact_jaccard(hashes, starts, part) >= threshold] for part in kept]
    return np.concatenate(exact) if exact else np.empty((0, 2), dtype=np.int64)


def near_duplicate_groups(
    texts: Iterable[str], threshold: float = NEAR_DUPLICATE_THRESHOLD, **options: int
) -> np.ndarray:
    """Give each text the number of its group of near duplicates.

    A group is what `near_duplicate_pairs` links, directly or over others (exploration, "Near
    duplicates"). `train_valid_split` keeps each group on one side.

    Parameters
    ----------
    texts : iterable of str
        The documents.
    threshold : float
        Jaccard similarity from which two texts are linked.
    **options
        `permutations`, `size` and `seed`, as in `minhash_signatures`.

    Returns
    -------
    ndarray of int64 (documents,)
        Group of each text, numbered from 0 in order of first appearance; a text without a near
        duplicate is a group of its own.
    """
    texts = list_of_texts(texts)
    return _components(near_duplicate_pairs(texts, threshold, **options), len(texts))


# ------------------------------------------------------------------------- hashed shingles


class _WordHashes(dict):
    """Hash of each word, computed once; Python's own `hash` changes with every process."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        return self.setdefault(word, int.from_bytes(digest, "little"))


def _hashed_sets(texts: Iterable[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash the shingle set of each text.

    Returns
    -------
    hashes : ndarray of uint32 (shingles of all texts,)
        Sorted and without repetition inside each text.
    starts : ndarray of int64 (documents + 1,)
        Text i owns `hashes[starts[i]:starts[i + 1]]`.
    """
    _check_size(size)
    table = _WordHashes()
    flat: list[int] = []
    counts: list[int] = []
    for text in list_of_texts(texts):
        found = words(text)
        counts.append(len(found))
        flat.extend(map(table.__getitem__, found))
    word_hashes = np.array(flat, dtype=np.uint64)
    lengths = np.array(counts, dtype=np.int64)
    # A shingle is a polynomial in its words' hashes. It may begin at any word that has enough
    # words behind it; a text that is too short is one shingle, shorter than the others.
    first = np.concatenate([[0], np.cumsum(lengths)])
    document = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(word_hashes)) - first[document]
    begins = (position == 0) | (position <= lengths[document] - size)
    at, document = np.flatnonzero(begins), document[begins]
    value = np.zeros(len(at), dtype=np.uint64)
    for step in range(size):
        inside = at + step < first[document + 1]
        following = word_hashes[np.minimum(at + step, len(word_hashes) - 1)]
        value = np.where(inside, (value + following) * np.uint64(_BASE), value)
    value ^= value >> np.uint64(32)
    # Text number and hash share 64 bits, so one sort orders the hashes of each text.
    packed = _unique((document.astype(np.uint64) << np.uint64(32)) | (value & EMPTY))
    owners = (packed >> np.uint64(32)).astype(np.int64)
    starts = np.searchsorted(owners, np.arange(len(lengths) + 1))
    return packed.astype(np.uint32), starts


def _signatures(hashes: np.ndarray, starts: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """MinHash signatures of hashed sets; one multiplication and one addition is a hash function."""
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}: a signature has at least one entry.")
    generator = random.Random(seed)  # the same numbers in every version of Python and numpy
    factors = [generator.getrandbits(64) | 1 for _ in range(permutations)]
    offsets = [generator.getrandbits(64) for _ in range(permutations)]
    functions = list(zip(map(np.uint64, factors), map(np.uint64, offsets), strict=True))
    documents = len(starts) - 1
    signatures = np.full((documents, permutations), EMPTY, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(starts))
    for block in _blocks(filled):
        # Empty sets own nothing, so the hashes of the filled ones follow each other without a gap.
        values = hashes[starts[block[0]] : starts[block[-1] + 1]].astype(np.uint64)
        cuts = starts[block] - starts[block[0]]
        for column, (factor, offset) in enumerate(functions):
            smallest = np.minimum.reduceat(values * factor + offset, cuts)
            signatures[block, column] = smallest >> np.uint64(32)
    return signatures


# ------------------------------------------------------------------------ candidates, decision


def _rows_per_band(permutations: int, threshold: float) -> int:
    """Widest band that still finds `_RECALL` of the pairs just at the threshold."""
    rows = 1
    while (wider := rows + 1) <= permutations:
        if 1 - (1 - threshold**wider) ** (permutations // wider) < _RECALL:
            break
        rows = wider
    return rows


def _candidate_pairs(signatures: np.ndarray, threshold: float) -> np.ndarray:
    """Pairs (smaller position first) that agree in a whole band of their signatures."""
    documents, permutations = signatures.shape
    rows = _rows_per_band(permutations, threshold)
    filled = np.flatnonzero((signatures != EMPTY).any(axis=1))
    found = [np.empty(0, dtype=np.int64)]
    for start in range(0, permutations - rows + 1, rows):
        key = np.zeros(len(filled), dtype=np.uint64)
        for column in range(start, start + rows):
            key = (key + signatures[filled, column]) * np.uint64(_BASE)
            key ^= key >> np.uint64(29)
        order = np.argsort(key, kind="stable")
        left, right = _bucket_pairs(key[order])
        found.append(_unique(filled[order[left]] * documents + filled[order[right]]))
    packed = _unique(np.concatenate(found))
    return np.column_stack(np.divmod(packed, max(documents, 1)))


def _bucket_pairs(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of pairs inside each run of equal sorted keys, linear in the number of keys."""
    if len(key) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    new = np.concatenate([[True], key[1:] != key[:-1]])
    head = np.maximum.accumulate(np.where(new, np.arange(len(key)), 0))
    left, right, active = [], [], np.flatnonzero(~new)
    for step in range(1, _WINDOW + 1):
        active = active[active - step >= head[active]]
        left.append(active - step)
        right.append(active)
    return np.concatenate(left), np.concatenate(right)


def _exact_jaccard(hashes: np.ndarray, starts: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Jaccard similarity of each pair of hashed sets, from the sets themselves."""
    sizes = np.diff(starts)[pairs]  # (pairs, 2)
    members = []
    for side in (0, 1):
        count = sizes[:, side]
        owner = np.repeat(np.arange(len(pairs)), count)
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        value = hashes[starts[pairs[owner, side]] + offset].astype(np.uint64)
        members.append((owner.astype(np.uint64) << np.uint64(32)) | value)
    both = np.sort(np.concatenate(members))
    shared = both[1:][both[1:] == both[:-1]] >> np.uint64(32)
    overlap = np.bincount(shared.astype(np.int64), minlength=len(pairs))
    return overlap / np.maximum(sizes.sum(axis=1) - overlap, 1)


def _components(pairs: np.ndarray, documents: int) -> np.ndarray:
    """Give each text the number of its connected component in the graph of pairs."""
    links = (np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1]))
    _, label = connected_components(coo_array(links, shape=(documents, documents)), directed=False)
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)


def _unique(values: np.ndarray) -> np.ndarray:
    """Sort and drop repetitions: on millions of numbers far faster than numpy 2's `unique`."""
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


def _blocks(array: np.ndarray) -> list[np.ndarray]:
    return [array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK)]


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size is {size}: a shingle has at least one word.")


# ------------------------------------------- hashes that prove which texts a network has read


def text_hashes(texts: Iterable[str]) -> np.ndarray:
    """Hash cleaned texts by their words alone: case, punctuation and spaces make no difference.

    Returns
    -------
    ndarray of int64 (texts,)
        The first eight bytes of the BLAKE2 hash of the lower-cased words and numbers, joined by
        single spaces. Among 100,000 texts two different ones share a hash with a chance of about
        one to four billion.
    """
    joined = (" ".join(words(text)) for text in list_of_texts(texts))
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in joined]
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)
