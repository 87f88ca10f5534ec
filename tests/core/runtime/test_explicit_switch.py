"""Explicit switches among waiting greenlets: whoever is switched to goes on at once, and waits nowhere any more.

`hub.switch()` parks until somebody switches back with a value. To one that waits for something else, a value is an
InvalidSwitchError; what is thrown is raised. Most cases are child interpreters: a lost greenlet would hang them.
"""

import pytest

from tests.support.children import output_of
from tests.support.runtime import PRELUDE

STORY = (
    PRELUDE
    + """
hub = get_hub()
queue = WaitQueue('the queue')
reading, writing = os.pipe()
log = []

def finds(wait):
    "Wait, log how that ends, and that waiting is as possible as before."
    try:
        log.append(wait())
    except BaseException as fault:
        log.append(type(fault).__name__)
    log.append(queue.park(timeout=0.01))
    sleep(0)
    return 'ended'

WAITS = {
    'queue': queue.park,
    'queue with timeout': lambda: queue.park(3600),
    'sleep': lambda: sleep(3600),
    'turn': lambda: sleep(0),
    'descriptor': lambda: wait_read(reading),
    'descriptor with timeout': lambda: wait_read(reading, 3600),
    'join': lambda: GreenThread(int).join(),
    'join with timeout': lambda: GreenThread(int).join(3600),
    'hub': hub.switch,
}

def left(act):
    "Call `act` in a greenlet of its own, which is left where it switches away."
    kept.append(greenlet(act))
    spawn(kept[-1].switch)
kept = []
"""
)


@pytest.mark.parametrize(
    "wait",
    [
        "queue",
        "queue with timeout",
        "sleep",
        "turn",
        "descriptor",
        "descriptor with timeout",
        "join",
        "join with timeout",
    ],
)
@pytest.mark.parametrize("how", ["switch", "throw"])
def test_a_switch_to_one_that_waits_elsewhere_ends_that_wait(wait: str, how: str) -> None:
    out = output_of(
        STORY
        + """
it = spawn(finds, WAITS[sys.argv[1]])
if sys.argv[1] != 'turn':
    sleep(0)
    left((lambda: it.switch('value')) if sys.argv[2] == 'switch' else (lambda: it.throw(LookupError)))
else:
    it = spawn(finds, WAITS['turn'])
    left((lambda: it.switch('value')) if sys.argv[2] == 'switch' else (lambda: it.throw(LookupError)))
    log.clear()
joined(it)
print(log[:2] if sys.argv[1] != 'turn' else log[-1], len(queue), it.value)
if sys.argv[1] != 'turn':
    try:
        queue.park()
    except LoopExit:
        print('nothing is waited for any more')
else:
    print('nothing is waited for any more')
""",
        wait,
        how,
    )
    name = "InvalidSwitchError" if how == "switch" else "LookupError"
    first = "False" if wait == "turn" else f"['{name}', False]"
    assert out == f"{first} 0 ended\nnothing is waited for any more\n"


def test_hub_switch_returns_what_somebody_switches_in_with() -> None:
    out = output_of(
        STORY
        + """
def body():
    for _ in range(5):
        log.append(hub.switch())
    return 'ended'
it = spawn(body)
sleep(0)
left(lambda: it.switch())
sleep(0)
left(lambda: it.switch([1]))
sleep(0)
left(lambda: it.switch(1, 2))
sleep(0)
left(lambda: it.switch(a=3))
sleep(0)
left(lambda: it.switch(4, b=5))
print(joined(it), log)
"""
    )
    assert out == f"['ended'] {[(), [1], (1, 2), {'a': 3}, ((4,), {'b': 5})]}\n"


def test_hub_switch_raises_what_somebody_throws() -> None:
    out = output_of(
        STORY
        + """
def body():
    try:
        hub.switch()
    except LookupError as fault:
        return fault.args
it = spawn(body)
sleep(0)
left(lambda: it.throw(LookupError('why')))
print(joined(it))
"""
    )
    assert out == "[('why',)]\n"


def test_hub_switch_takes_no_arguments_and_is_for_its_own_thread() -> None:
    out = output_of(
        STORY
        + """
try:
    hub.switch(1)
except TypeError:
    print('TypeError')
try:
    in_thread(hub.switch)
except error:
    print('error')
"""
    )
    assert out == "TypeError\nerror\n"


def test_the_main_one_waits_in_hub_switch_too() -> None:
    out = output_of(
        STORY
        + """
def body():
    main.switch('from a green thread')
it = spawn(body)
print(hub.switch())
print(it.dead, it.ready())
"""
    )
    assert out == "from a green thread\nFalse False\n"


def test_the_error_says_who_was_switched_to_with_what() -> None:
    out = output_of(
        STORY
        + """
def body():
    try:
        queue.park()
    except InvalidSwitchError as fault:
        return str(fault), isinstance(fault, AssertionError)
it = spawn(body)
sleep(0)
left(lambda: it.switch('the value'))
text, is_assertion = joined(it)[0]
print('the value' in text, hex(id(it)) in text, is_assertion)
"""
    )
    assert out == "True True True\n"


def test_one_switched_to_is_not_resumed_a_second_time_by_what_it_waited_for() -> None:
    out = output_of(
        STORY
        + """
def body():
    try:
        queue.park(0.02)
    except InvalidSwitchError:
        log.append('switched to')
    log.append(hub.switch())
it = spawn(body)
sleep(0)
left(lambda: it.switch('x'))
sleep(0)
print(queue.unpark(5))
sleep(0.04)
print(log)
left(lambda: it.switch('the right value'))
joined(it)
print(log)
"""
    )
    assert out == "0\n['switched to']\n['switched to', 'the right value']\n"


def test_one_that_was_ready_already_runs_once_for_each_wait() -> None:
    out = output_of(
        STORY
        + """
other = WaitQueue()
def body():
    try:
        queue.park()
    except InvalidSwitchError:
        log.append('switched to')
    log.append(('other', other.park()))
    log.append(('again', other.park()))
it = spawn(body)
sleep(0)
def unparks_and_switches():
    queue.unpark()
    it.switch('too early')
left(unparks_and_switches)
turns(5)
print(log, len(other))
other.unpark()
turns(5)
print(log[1:], len(other))
other.unpark()
joined(it)
print(log[2:])
"""
    )
    assert out == "['switched to'] 1\n[('other', True)] 1\n[('again', True)]\n"


def test_one_not_yet_begun_can_be_switched_to_and_runs_once() -> None:
    out = output_of(
        STORY
        + """
def body(value):
    log.append(value)
    sleep(0)
    log.append('ends')
    return value
made = []
left(lambda: made[0].switch())
left(lambda: made[1].switch())
made += [spawn(body, 'its own argument'), GreenThread(body, 'never started')]
print(joined(*made), log)
turns(5)
print(len(log))
"""
    )
    assert out == "['its own argument', 'never started'] ['its own argument', 'never started', 'ends', 'ends']\n4\n"


def test_a_throw_before_the_first_turn_is_the_result() -> None:
    out = output_of(
        STORY
        + """
made = []
def thrower():
    made[0].throw(LookupError('one'))
def ender():
    made[1].throw()
kept += [greenlet(thrower), greenlet(ender)]
spawn(kept[0].switch)
spawn(kept[1].switch)
made += [spawn(log.append, 'ran'), spawn(log.append, 'ran')]
with reported() as reports:
    joined(*made)
    turns()
print(log, made[0].exception, repr(made[1].value), len(reports), [it.dead for it in made])
"""
    )
    assert out == "[] one GreenletExit() 1 [True, True]\n"


def test_throwing_into_one_that_has_ended_reaches_the_thrower_by_its_parent() -> None:
    out = output_of(
        STORY
        + """
it = spawn(int)
joined(it)
def body():
    it.throw(GreenletExit)
left(body)
turns()
print(joined(spawn(lambda: sleep(0.001) or 'goes on')))
"""
    )
    assert out == "['goes on']\n"


def test_a_switch_to_the_hub_itself_leaves_the_caller_until_it_is_switched_to() -> None:
    out = output_of(
        STORY
        + """
def body():
    return greenlet.switch(hub)
it = spawn(body)
turns(5)
print(it.ready(), joined(spawn(int)))
left(lambda: it.switch('back'))
print(joined(it))
"""
    )
    assert out == "False [0]\n['back']\n"


def test_green_threads_hand_over_by_explicit_switches_in_a_ring() -> None:
    out = output_of(
        STORY
        + """
count = 200
rounds = []
def body(number):
    value = hub.switch()
    while True:
        rounds.append(number)
        if value == 0:
            queue.unpark()
            hub.switch()
        value = crowd[(number + 1) % count].switch(value - 1)
crowd = [spawn(body, number) for number in range(count)]
sleep(0)
left(lambda: crowd[0].switch(999))
print(queue.park(timeout=patience(30)), rounds == [number % count for number in range(1000)])
"""
    )
    assert out == "True True\n"


def test_a_raw_greenlet_resumed_by_its_wait_returns_to_its_parent() -> None:
    out = output_of(
        STORY
        + """
def raw_body(value):
    sleep(0.001)
    received = getcurrent().parent.switch('first')
    sleep(0.001)
    return received
def body(number):
    raw = greenlet(raw_body)
    return raw.switch(number), raw.switch(number), raw.dead
print(joined(*[spawn(body, number) for number in range(3)]))
"""
    )
    assert out == f"{[('first', number, True) for number in range(3)]}\n"
