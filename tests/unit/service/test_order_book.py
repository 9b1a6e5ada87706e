"""Which orders to workers ought to have arrived, and did not."""

from aiperf.service.order_book import ARRIVAL_LIMIT_NS, OrderBook
from aiperf.units import NS_PER_S


def looked_at(book: OrderBook, until_s: int, from_s: int = 0) -> list[str]:
    """Who was found, by a look each second."""
    return [worker for second in range(from_s, until_s) for worker in book.overdue(second * NS_PER_S)]


LIMIT_S = ARRIVAL_LIMIT_NS // NS_PER_S


def test_orders_are_numbered_for_each_worker_from_zero():
    book = OrderBook()
    assert [book.number(worker, 0) for worker in ("a", "a", "b", "a")] == [0, 1, 0, 2]
    book.begin("a")
    assert book.number("a", 0) == 0


def test_an_order_that_is_not_confirmed_is_found_although_none_follows():
    book = OrderBook()
    for _ in range(3):
        book.number("a", 0)
    book.confirm("a", 2, NS_PER_S, is_last=False)
    assert looked_at(book, LIMIT_S) == []
    assert looked_at(book, LIMIT_S + 3, LIMIT_S) == ["a"]


def test_a_worker_that_is_always_a_little_behind_has_lost_nothing():
    book = OrderBook()
    found = []
    for second in range(10 * LIMIT_S):
        for _ in range(5):
            book.number("a", second * NS_PER_S)
        book.confirm("a", 5 * second, second * NS_PER_S, is_last=False)
        found += book.overdue(second * NS_PER_S)
    assert found == []


def test_who_is_drained_has_no_more_to_confirm():
    book = OrderBook()
    book.number("a", 0)
    book.number("a", 0)  # crosses the last return on its way
    book.confirm("a", 1, NS_PER_S, is_last=True)
    assert looked_at(book, 4 * LIMIT_S) == []


def test_a_suspended_machine_loses_nobody():
    book = OrderBook()
    book.number("a", 0)
    assert looked_at(book, 3) == []
    assert book.overdue(1000 * NS_PER_S) == []
    book.confirm("a", 1, 1000 * NS_PER_S, is_last=False)
    assert looked_at(book, 1060, 1001) == []
