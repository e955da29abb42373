# SPDX-License-Identifier: MIT
"""A call has a context of decimal of its own: what its caller's was at submit()."""

from __future__ import annotations

import decimal
import threading

import pytest
from conftest import run_code

import tpool

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def context():
    """Give the test a context of its own, with a precision that nobody else has."""
    with decimal.localcontext() as own:
        own.prec = 41
        yield own


def precision(n=None):
    """Return the precision that there is, and set another."""
    before = decimal.getcontext().prec
    if n is not None:
        decimal.getcontext().prec = n
        assert decimal.getcontext().prec == n
    return before


WAYS = {
    "submit": lambda pool, n: pool.submit(precision, n).result(),
    "keyword": lambda pool, n: pool.submit(precision, n=n).result(),
    "submit_many": lambda pool, n: pool.submit_many(precision, [(n,)])[0].result(),
    "map": lambda pool, n: next(pool.map(precision, [n])),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_call_that_sets_the_precision_sets_its_own(pool, context, way):
    assert [way(pool, 5), way(pool, 6)] == [41, 41]
    assert decimal.getcontext() is context
    assert context.prec == 41


def test_call_has_the_precision_of_its_submit(single, context, gate):
    blocker = single.submit(gate.wait)
    request = single.submit(precision)
    context.prec = 7
    gate.set()
    assert request.result() == 41
    assert single.submit(precision).result() == 7
    assert blocker.result()


def test_flags_and_traps_of_a_call_are_its_own(pool, context):
    context.traps[decimal.DivisionByZero] = False

    def divide():
        decimal.Decimal(1) / 0
        return decimal.getcontext().flags[decimal.DivisionByZero]

    assert pool.submit(divide).result()
    assert not context.flags[decimal.DivisionByZero]


def test_calls_at_the_same_time_do_not_meet(ctx):
    both = threading.Barrier(2)

    def call(n):
        precision(n)
        both.wait()
        return precision()

    with tpool.ThreadPool(ctx) as pool:
        requests = pool.submit_many(call, [(5,), (6,)])
        assert [request.result() for request in requests] == [5, 6]


def test_call_within_a_call_has_the_precision_of_that(pool, context):
    def outer():
        precision(9)
        return pool.submit(precision, 3)

    assert pool.submit(outer).result().result() == 9
    assert context.prec == 41


def test_to_thread_has_a_copy_too():
    async def main():
        before = await tpool.to_thread(precision, 5)
        return before, precision()

    assert tpool.run(main()) == (41, 41)


def test_context_whose_copy_fails_fails_the_submit(ctx, pool):
    class Bad(decimal.Context):
        def copy(self):
            raise KeyError

    with decimal.localcontext():
        decimal.setcontext(Bad())
        with pytest.raises(KeyError):
            pool.submit(int)
    assert pool.submit(int).result() == 0


@pytest.mark.parametrize("how", ["never", "None", "module without it", "module"])
def test_program_without_decimal_goes_without(how):
    code = (
        "import sys, types, tpool\n"
        f"how = {how!r}\n"
        "if how == 'None': sys.modules['decimal'] = None\n"
        "elif how != 'never':\n"
        "    sys.modules['decimal'] = types.ModuleType('decimal')\n"
        "    if how == 'module': sys.modules['decimal'].getcontext = lambda: 1 / 0\n"
        "before = sys.modules.get('decimal')\n"
        "with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:\n"
        "    print(pool.submit(int).result(), pool.submit(int).result())\n"
        "assert sys.modules.get('decimal') is before\n"
    )
    assert run_code(code).stdout == "0 0\n"


@pytest.mark.parametrize("pure", [False, True])
def test_decimal_that_is_loaded_late_or_is_in_python_is_known(pure):
    code = (
        "import sys, tpool\n"
        f"if {pure}: sys.modules['_decimal'] = None\n"
        "with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:\n"
        "    pool.submit(int).result()\n"
        "    import decimal\n"
        "    def call():\n"
        "        before = decimal.getcontext().prec\n"
        "        decimal.getcontext().prec = 5\n"
        "        return before\n"
        "    print(pool.submit(call).result(), end=' ')\n"
        "    decimal.getcontext().prec = 41\n"
        "    print(pool.submit(call).result(), decimal.getcontext().prec)\n"
    )
    assert run_code(code).stdout == "28 41 41\n"
