import random

import pytest
from atlas.heap import Heap


@pytest.fixture
def heap():
    return Heap()


def test_empty(heap):
    with pytest.raises(IndexError, match="empty"):
        heap.pop()


def test_lower(heap):
    heap.push(5, "a")
    heap.push(3, "b")
    heap.push(1, "a")
    assert heap.pop() == (1, "a")
    assert "a" not in heap


def test_never_rises(heap):
    heap.push(2, "a")
    heap.lower(9, "a")
    assert heap.pop() == (2, "a")


@pytest.mark.parametrize("seed", range(3))
def test_sorts(heap, seed):
    source = random.Random(seed)
    numbers = [source.randint(0, 10**6) for _ in range(9000)]
    for item, number in enumerate(numbers):
        heap.push(number, item)
    assert [heap.pop()[0] for _ in range(len(heap))] == sorted(numbers)
