"""Batches: everybody once an epoch, within the budget, the same on every machine and after every interruption,
emotions balanced on request."""

import subprocess
import sys
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emotts_nb.core import named_rng
from emotts_nb.data.batches import BatchPlan, Position, balanced, batch_order, keys_from, padding_share

lengths_of = st.lists(st.integers(1, 2000), min_size=1, max_size=120)


@settings(max_examples=60, deadline=None)
@given(lengths_of, st.integers(0, 9), st.integers(0, 50), st.integers(1, 6000), st.integers(1, 40))
def test_everybody_once_within_the_budget(lengths, seed, epoch, budget, most):
    order = batch_order(lengths, seed, epoch, budget, most)
    assert sorted(sum(order, [])) == list(range(len(lengths))) and all(order)
    for b in order: assert len(b) <= most and (len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget)
    assert order == batch_order(np.array(lengths), seed, epoch, budget, most)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["neutral", "sad", None, "fear"]), min_size=1, max_size=80), st.integers(0, 9), st.integers(0, 9))
def test_labels_are_balanced(groups, seed, epoch):
    items, n = balanced(groups, seed, epoch), len(groups)
    assert len(set(items)) == len(items) and {i % n for i in items} == set(range(n))
    assert set(Counter(groups[i % n] for i in items).values()) == {max(Counter(groups).values())}
    for g in set(groups):  # no sample of a label is used twice more often than another of it
        used = Counter(i % n for i in items if groups[i % n] == g)
        assert max(used.values()) - min(used.values()) <= 1
    order = batch_order([100] * n, seed, epoch, 500, 5, groups)
    assert sorted(sum(order, [])) == sorted(items)


def test_balanced_epochs_go_on_after_an_interruption():
    lengths, groups = named_rng("l").integers(50, 900, 60).tolist(), ["neutral"] * 40 + ["sad"] * 15 + ["fear"] * 5
    plan = [BatchPlan(3000, 8, balance=True)]
    whole = [k for k, _ in zip(keys_from(lengths, groups, plan, 3), range(90), strict=False)]
    assert len({k.epoch for k in whole}) >= 2
    for stop in (0, 7, 31, 60):
        rest = keys_from(lengths, groups, plan, 3, whole[stop].after)
        assert [k for k, _ in zip(rest, range(20), strict=False)] == whole[stop + 1:stop + 21]
    assert next(keys_from(lengths, groups, plan, 3, Position(0, 0))) == whole[0]


def test_epochs_and_seeds_differ():
    lengths = named_rng("l").integers(50, 900, 100).tolist()
    orders = [batch_order(lengths, seed, epoch, 4000, 16) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({str(o) for o in orders}) == 6
    assert max(padding_share(lengths, o) for o in orders) < 0.15


def test_the_order_is_the_same_in_another_process():
    "Hash randomisation and thread counts change nothing."
    code = ("from emotts_nb.data.batches import batch_order; "
            "print(batch_order([7 * i % 300 + 5 for i in range(50)], 5, 2, 2000, 9, ['a', 'b', 'b', 'c', 'c'] * 10))")
    told = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": h}).stdout
            for h in ("1", "2")}
    assert told == {f"{batch_order([7 * i % 300 + 5 for i in range(50)], 5, 2, 2000, 9, ['a', 'b', 'b', 'c', 'c'] * 10)}\n"}
