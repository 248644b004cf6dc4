"""One deadline for all that is called within it, and a bell for what does not look at the clock."""

import math
import signal
import sys
import threading
import time
import weakref

import casadi as ca
import pytest

from bilevel.deadline import Deadline, OutOfTime, current, heard, limited, look, passed, ringing, waiting, within


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_an_inner_deadline_can_only_be_earlier():
    assert current().end == math.inf
    with within(Deadline.after(10.0)) as outer:
        with within(Deadline.after(20.0)) as inner:
            assert inner is outer
        with within(Deadline.after(1.0)):
            assert limited(5.0) == pytest.approx(1.0, abs=0.1)
            assert limited(0.5) == 0.5
        assert current() is outer
    assert limited() is None
    assert limited(7.0) == 7.0
    assert not passed()


def test_what_is_late_has_no_time_left_but_an_engine_a_little():
    with within(Deadline.after(-1.0)):
        assert passed()
        assert 0.0 < limited() < 0.1
        look()  # nobody would catch it
        with pytest.raises(OutOfTime), ringing():
            look()


def test_the_bell_stops_what_does_not_look():
    began = time.monotonic()
    with pytest.raises(OutOfTime), within(Deadline.after(0.1)), ringing():
        spin(5.0)
    assert time.monotonic() - began < 1.0
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_bell_rings_again_where_it_was_not_heard_and_not_where_it_was():
    heard_in_vain = 0
    with within(Deadline.after(0.05)), ringing():
        for _ in range(2):
            try:
                spin(2.0)
            except OutOfTime:
                heard_in_vain += 1
        heard()
        spin(0.7)
    assert heard_in_vain == 2


def test_the_bell_waits_for_a_library_that_is_told_the_time_itself():
    done = []

    def run():
        with waiting():
            spin(0.4)
            done.append(True)
        spin(2.0)

    with pytest.raises(OutOfTime), within(Deadline.after(0.05)), ringing():
        run()
    assert done == [True]


def test_what_nobody_can_pass_on_is_not_printed(capsys):
    class Nothing:
        pass

    def swallowing():
        nothing = Nothing()
        lingering = weakref.ref(nothing, lambda _: spin(30.0))  # Python swallows what is raised in it, as Cython does
        del nothing
        spin(30.0)
        return lingering

    before = sys.unraisablehook
    with pytest.raises(OutOfTime), within(Deadline.after(0.05)), ringing():
        swallowing()
    assert sys.unraisablehook is before
    assert not any(capsys.readouterr())


@pytest.mark.parametrize("name", ["numpy/lib/_npyio_impl.py", "numpy/lib/npyio.py"])
def test_the_bell_waits_where_compiled_code_reads_a_table(name):
    """SciPy's Sobol numbers, at their first use: what is raised there is printed and lost."""
    here = {"spin": spin}
    exec(compile("def reads(): spin(0.4)", name, "exec"), here)
    done = []

    def run():
        here["reads"]()
        done.append("read")
        spin(2.0)

    with pytest.raises(OutOfTime), within(Deadline.after(0.01)), ringing():
        run()
    assert done == ["read"]


def test_there_is_no_bell_in_another_thread_or_where_the_alarm_is_taken():
    def run():
        with within(Deadline.after(0.05)), ringing():
            spin(0.4)
        ended.append(True)

    ended = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        run()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ended == [True, True]


def test_nothing_is_raised_inside_a_wrapper_of_casadi_that_would_swallow_it():
    x = ca.SX.sym("x", 5)
    chain = [x[k] for k in range(5)]
    for k in range(3000):
        chain.append(ca.sin(chain[k]) * chain[-1])
    function = ca.Function("f", [x], [ca.vertcat(*chain[-5:])])
    found = []

    def run():
        for _ in range(100_000):
            found.append(function([0.5] * 5))

    for k in range(10):
        with pytest.raises(OutOfTime), within(Deadline.after(-0.09 + 1e-4 * k)), ringing():
            run()
    assert all(isinstance(value, ca.DM) for value in found)
    assert sys.gettrace() is None
