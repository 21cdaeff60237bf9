"""Near duplicates, against brute force and against datasketch."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from agnews_utils.data import duplicates
from agnews_utils.data.duplicates import (
    EMPTY,
    jaccard,
    minhash_signatures,
    near_duplicate_groups,
    near_duplicate_pairs,
    shingles,
    text_hashes,
    words,
)
from agnews_utils.data.loading import load_news
from tests.helpers import ROOT, full_data_folder

VOCABULARY = [f"w{number}" for number in range(300)]


def some_texts(number, seed=0, twins=0.5):
    """Random texts of 8 to 40 words, some of them edited copies of an earlier one."""
    generator = random.Random(seed)
    texts = []
    for _ in range(number):
        if texts and generator.random() < twins:
            chosen = generator.choice(texts).split()
            for _ in range(generator.randrange(6)):
                chosen[generator.randrange(len(chosen))] = generator.choice(VOCABULARY)
        else:
            chosen = generator.choices(VOCABULARY, k=generator.randint(8, 40))
        texts.append(" ".join(chosen))
    return texts


def brute_force(texts, threshold, size=3):
    sets = [shingles(text, size) for text in texts]
    return {
        (i, j) for j in range(len(sets)) for i in range(j) if jaccard(sets[i], sets[j]) >= threshold
    }


def components(pairs, number):
    """Groups by repeated relabeling, in order of first appearance."""
    group = list(range(number))
    for i, j in sorted(pairs):
        low, high = sorted((group[i], group[j]))
        group = [low if g == high else g for g in group]
    order = list(dict.fromkeys(group))
    return [order.index(g) for g in group]


# --------------------------------------------------------------------- shingles and Jaccard


def test_shingles_of_known_texts():
    assert words("U.S. oil #39;Soars") == ["u", "s", "oil", "39", "soars"]
    assert shingles("The cat, the CAT; the") == {("the", "cat", "the"), ("cat", "the", "cat")}
    assert shingles("a b c d", size=2) == {("a", "b"), ("b", "c"), ("c", "d")}
    assert shingles("Two words") == {("two", "words")}
    assert shingles(" ... ") == set()
    with pytest.raises(ValueError, match="size is 0"):
        shingles("a", 0)


def test_jaccard_of_known_sets():
    assert jaccard({1, 2, 3}, {2, 3, 4}) == 0.5
    assert jaccard({1}, {1}) == 1
    assert jaccard({1}, {2}) == 0
    assert jaccard(set(), {1}) == 0
    assert jaccard(set(), set()) == 0


# ------------------------------------------------------------------------------ signatures


def test_signatures_estimate_the_jaccard_similarity():
    """As good as datasketch's on the same shingles, and unbiased."""
    texts = some_texts(60, seed=3, twins=0.8)
    sets = [shingles(text) for text in texts]
    exact, ours, theirs = [], [], []
    signatures = minhash_signatures(texts, permutations=256)
    hashes = []
    for members in sets:
        hashes.append(MinHash(num_perm=256))
        hashes[-1].update_batch(" ".join(shingle).encode() for shingle in members)
    for i in range(len(texts)):
        for j in range(i):
            if (similarity := jaccard(sets[i], sets[j])) > 0:
                exact.append(similarity)
                ours.append((signatures[i] == signatures[j]).mean())
                theirs.append(hashes[i].jaccard(hashes[j]))
    error, reference = np.subtract(ours, exact), np.subtract(theirs, exact)
    assert len(exact) > 50
    # The standard error is at most 0.5 / sqrt(256) = 0.031.
    assert np.sqrt((error**2).mean()) < 0.035
    assert np.sqrt((error**2).mean()) < 1.5 * np.sqrt((reference**2).mean())
    assert abs(error.mean()) < 0.01


def test_the_estimate_is_unbiased_over_seeds():
    a, b = "one two three four five six", "one two three four five nine"
    assert jaccard(shingles(a), shingles(b)) == pytest.approx(3 / 5)
    equal = [
        (signature[0] == signature[1]).mean()
        for signature in (minhash_signatures([a, b], 64, seed=seed) for seed in range(60))
    ]
    # 60 * 64 = 3,840 draws: the standard error is 0.008.
    assert np.mean(equal) == pytest.approx(0.6, abs=0.03)


def test_signatures_have_the_right_shape_and_mark_empty_texts():
    signatures = minhash_signatures(["a b c d", "", "?!", "a"], permutations=16)
    assert signatures.shape == (4, 16)
    assert signatures.dtype == np.uint32
    assert (signatures[1:3] == EMPTY).all()
    assert (signatures[[0, 3]] != EMPTY).all()
    assert minhash_signatures([], permutations=16).shape == (0, 16)


def test_signatures_depend_on_words_alone():
    first, second, third = minhash_signatures(["A b, c d.", "a  B c D", "a b c d a b c d"])
    assert (first == second).all()
    # More shingles can only lower the minima.
    assert (third <= first).all()
    assert not (minhash_signatures(["a b c d"], seed=1) == first).any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abc ", max_size=25), min_size=1, max_size=12), st.randoms())
def test_a_signature_does_not_depend_on_the_other_texts(texts, generator):
    signatures = minhash_signatures(texts)
    order = list(range(len(texts)))
    generator.shuffle(order)
    shuffled = minhash_signatures([texts[n] for n in order])
    assert (shuffled == signatures[order]).all()


# --------------------------------------------------------------------------- pairs, groups


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9, 1.0])
def test_pairs_equal_brute_force(threshold):
    texts = some_texts(250, seed=int(threshold * 10))
    truth = brute_force(texts, threshold)
    found = [tuple(pair) for pair in near_duplicate_pairs(texts, threshold).tolist()]
    assert found == sorted(set(found))
    assert len(truth) > 10
    assert set(found) <= truth  # never a wrong pair
    assert len(truth - set(found)) <= 0.02 * len(truth)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=9).map(" ".join), max_size=12),
    st.sampled_from([1, 2, 3]),
)
def test_identical_word_sequences_are_always_found(texts, size):
    """At threshold 1 nothing is left to chance: equal sets have equal signatures."""
    found = set(map(tuple, near_duplicate_pairs(texts, 1.0, size=size).tolist()))
    assert found == brute_force(texts, 1.0, size)


def test_groups_equal_the_components_of_brute_force():
    texts = some_texts(200, seed=7)
    pairs = brute_force(texts, 0.6)
    groups = near_duplicate_groups(texts, 0.6)
    assert groups.dtype == np.int64
    assert groups.tolist() == components(pairs, len(texts))


def test_groups_do_not_depend_on_the_order_of_the_texts():
    texts = some_texts(150, seed=5)
    order = list(range(len(texts)))
    random.Random(1).shuffle(order)
    straight = near_duplicate_groups(texts)
    shuffled = near_duplicate_groups([texts[n] for n in order])
    together = straight[order][:, None] == straight[order][None, :]
    assert (together == (shuffled[:, None] == shuffled[None, :])).all()


def test_empty_and_short_texts():
    texts = ["", "oil up", "", "Oil, up!", "...", "oil"]
    assert near_duplicate_pairs(texts).tolist() == [[1, 3]]
    assert near_duplicate_groups(texts).tolist() == [0, 1, 2, 1, 3, 4]
    assert near_duplicate_pairs([]).shape == (0, 2)
    assert near_duplicate_pairs(["", ""]).shape == (0, 2)
    assert near_duplicate_groups([]).tolist() == []
    assert near_duplicate_groups(["one text"]).tolist() == [0]


def test_links_chain():
    base = [f"t{n}" for n in range(30)]
    first, middle, last = base[:20], base[5:25], base[10:]
    texts = [" ".join(part) for part in (first, middle, last)]
    assert brute_force(texts, 0.5) == {(0, 1), (1, 2)}
    assert near_duplicate_groups(texts, 0.5).tolist() == [0, 0, 0]


def test_boilerplate_costs_no_quadratic_time(monkeypatch):
    """Texts that are nearly equal are linked, not listed: twice the texts, twice the pairs."""
    story = "stocks rose in early trading on monday as investors awaited the report of the bank "
    compared = []
    candidates = duplicates._candidate_pairs

    def counted(*arguments):
        pairs = candidates(*arguments)
        compared.append(len(pairs))
        return pairs

    monkeypatch.setattr(duplicates, "_candidate_pairs", counted)
    for rows in (500, 1000):
        texts = [story * 2 + f"in city {number}" for number in range(rows)] + ["something else"]
        groups = near_duplicate_groups(texts, 0.5)
        assert set(groups[:rows]) == {0}
        assert groups[rows] == 1
    few, many = compared
    assert many < 2.5 * few
    assert many < 1000 * 999 / 2 / 2


def test_crowds_up_to_the_window_are_complete():
    texts = ["the very same text of seven words"] * 33
    assert len(near_duplicate_pairs(texts)) == 33 * 32 // 2


def test_two_processes_agree_whatever_the_hash_seed():
    code = (
        "import hashlib; from agnews_utils.data.duplicates import *;"
        "texts = [f'story {n % 7} of the day {n % 5} in town {n % 3}' for n in range(60)];"
        "s = minhash_signatures(texts); p = near_duplicate_pairs(texts);"
        "print(hashlib.md5(s.tobytes() + p.tobytes()).hexdigest(), s[0, 0], len(p))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: near_duplicate_pairs(["a"], 0), ValueError, "threshold is 0"),
        (lambda: near_duplicate_pairs(["a"], 1.5), ValueError, "up to 1"),
        (lambda: minhash_signatures(["a"], 0), ValueError, "permutations is 0"),
        (lambda: minhash_signatures(["a"], size=0), ValueError, "size is 0"),
        (lambda: near_duplicate_groups("a text"), TypeError, "texts is one string"),
        (lambda: near_duplicate_groups(["a", None]), TypeError, "text 1 is NoneType"),
        (lambda: minhash_signatures([float("nan")]), TypeError, "text 0 is float"),
        (lambda: text_hashes("a text"), TypeError, "texts is one string"),
    ],
)
def test_impossible_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_real_ag_news_has_twins_across_its_split():
    train, test = load_news(full_data_folder())
    texts = [*train["text"], *test["text"]]
    groups = near_duplicate_groups(texts)
    in_train, in_test = np.split(groups, [len(train)])
    share = np.isin(in_test, in_train).mean()
    assert 0.05 < share < 0.25, f"{share:.1%} of the test rows have a near twin in train"
    assert np.bincount(groups).max() < 100  # no group has swallowed the corpus
