"""Chapter pretraining, where pre-training begins: embeddings made of counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd


def counted_embeddings(
    sequences: Sequence[np.ndarray], vocab_size: int, size: int, window: int = 6, seed: int = 0
) -> np.ndarray:
    """Return first embeddings made of counts: pieces with the same neighbors begin alike.

    The positive pointwise mutual information of all pairs of pieces within a window, reduced to
    its first singular vectors (Levy, Goldberg and Dagan, 2015). It takes seconds, where
    masked-language modeling first needs millions of tokens to learn what counts already know.

    Parameters
    ----------
    sequences : sequence of arrays of int
        The texts as ids.
    vocab_size, size : int
        Shape of the result.
    window : int
        How far apart neighbors may be.
    seed : int
        Of the singular value decomposition.

    Returns
    -------
    array, shape (vocab_size, size), float32
        With a standard deviation of 0.04; all zero for pieces without neighbors.
    """
    gap = np.full(window, -1)
    line = np.concatenate([part for ids in sequences for part in (ids, gap)]).astype(np.int64)
    counts = sparse.csr_matrix((vocab_size, vocab_size))
    for distance in range(1, window + 1):
        left, right = line[:-distance], line[distance:]
        both = (left >= 0) & (right >= 0)
        pairs = (left[both], right[both])
        shape = counts.shape
        counts = counts + sparse.coo_matrix((np.ones(both.sum()), pairs), shape=shape).tocsr()
    counts = (counts + counts.T).tocoo()
    totals = np.asarray(counts.sum(1)).ravel() + 1.0
    smoothed = totals**0.75 / (totals**0.75).sum()
    information = np.log(counts.data / (totals[counts.row] * smoothed[counts.col]))
    kept = information > 0
    matrix = sparse.csr_matrix(
        (information[kept], (counts.row[kept], counts.col[kept])), shape=counts.shape
    )
    left, values, _ = randomized_svd(matrix, size, n_iter=3, random_state=seed)
    embeddings = left * np.sqrt(values)
    embeddings[totals == 1.0] = 0.0  # no neighbors: the decomposition leaves rounding errors there
    return (0.04 / max(embeddings.std(), 1e-9) * embeddings).astype(np.float32)
