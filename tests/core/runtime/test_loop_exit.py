"""LoopExit: raised in the main greenlet when everybody is parked for ever, and never before that.

Each case is a child interpreter, in which no other OS thread could end a wait.
"""

from tests.support.children import output_of
from tests.support.runtime import PRELUDE


def test_it_names_who_is_parked_where_and_for_what() -> None:
    out = output_of(
        PRELUDE
        + """
queue, nameless = WaitQueue('the last seat'), WaitQueue()
def sits_down():
    queue.park()
def waits_for_nobody():
    nameless.park()
def switches():
    get_hub().switch()
def joins():
    crowd[0].join()
def sleeps_for_ever():
    sleep(float('inf'))
crowd = [spawn(body) for body in (sits_down, waits_for_nobody, switches, joins, sleeps_for_ever)]
def goes_on():
    pass
finished = spawn(goes_on)
def the_main_one():
    crowd[1].join()
try:
    the_main_one()
except LoopExit as exit:
    text = str(exit)
    lines = text.splitlines()
else:
    raise SystemExit('no LoopExit')
def line_of(it):
    return next(line for line in lines if f'object at {hex(id(it))} ' in line.split('otid')[0])
for it, what, place in [
    (crowd[0], "'the last seat'", 'sits_down'),
    (crowd[1], 'unparked', 'waits_for_nobody'),
    (crowd[2], 'switch', 'switches'),
    (crowd[3], repr(crowd[0]), 'joins'),
    (crowd[4], 'sleeps', 'sleeps_for_ever'),
    (main, repr(crowd[1]), 'the_main_one'),
]:
    line = line_of(it).split('>', 1)[1]
    number = (it.gr_frame.f_lineno if it is not main else the_main_one.__code__.co_firstlineno + 1)
    assert what in line and place in line and '<string>' in line and str(number) in line, line
assert 'goes_on' not in text, text
print(len(lines))
"""
    )
    assert out == "7\n"


def test_everybody_is_still_parked_afterwards_and_can_go_on() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
it = spawn(lambda: queue.park() and 'went on')
for _ in range(3):
    try:
        it.join()
    except LoopExit:
        print('LoopExit', len(queue))
queue.unpark()
print(joined(it))
"""
    )
    assert out == "LoopExit 1\n" * 3 + "['went on']\n"


def test_it_leaves_the_queue_of_the_main_one() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
for _ in range(2):
    try:
        queue.park()
    except LoopExit:
        print(len(queue), queue.unpark())
"""
    )
    assert out == "0 0\n" * 2


def test_it_is_raised_in_a_main_one_that_switched_away_explicitly() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
raw = greenlet(queue.park)
try:
    raw.switch()
except LoopExit:
    print('LoopExit', raw.dead, len(queue))
"""
    )
    assert out == "LoopExit False 1\n"


def test_it_is_not_raised_while_another_thread_can_end_the_wait() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
def work():
    time.sleep(0.1)
    queue.unpark()
threading.Thread(target=work).start()
print(queue.park())
"""
    )
    assert out == "True\n"


def test_it_is_raised_once_the_last_other_thread_has_ended() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
thread = threading.Thread(target=time.sleep, args=(0.1,))
thread.start()
try:
    queue.park()
except LoopExit:
    print('LoopExit')
"""
    )
    assert out == "LoopExit\n"


def test_it_is_not_raised_while_a_timer_can_end_the_wait() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
get_hub().call_later(0.05, queue.unpark)
print(queue.park())
def body():
    sleep(0.05)
    queue.unpark()
spawn(body)
print(queue.park())
print(queue.park(timeout=0.05))
"""
    )
    assert out == "True\nTrue\nFalse\n"


def test_it_is_not_raised_while_a_descriptor_can_end_the_wait() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
reading, writing = os.pipe()
child = os.fork()
if not child:
    block(0.1)
    os.write(writing, b'x')
    os._exit(0)
def body():
    wait_read(reading)
    queue.unpark()
spawn(body)
print(queue.park())
os.waitpid(child, 0)
try:
    queue.park()
except LoopExit:
    print('LoopExit')
"""
    )
    assert out == "True\nLoopExit\n"


def test_timers_and_waits_that_were_ended_do_not_hold_it_back() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
reading, writing = os.pipe()
for callback in [get_hub().call_later(3600, print) for _ in range(1000)]:
    callback.stop()
crowd = [spawn(sleep, 3600), spawn(queue.park, 3600), spawn(wait_read, reading), spawn(wait_read, reading, 3600)]
sleep(0)
queue.unpark()
for it in crowd:
    interrupt(it, GreenletExit())
joined(*crowd)
print(wait_read(reading, timeout=0.001))
try:
    queue.park()
except LoopExit:
    print('LoopExit')
"""
    )
    assert out == "False\nLoopExit\n"


def test_a_name_that_cannot_be_shown_does_not_hide_it() -> None:
    out = output_of(
        PRELUDE
        + """
class Broken:
    def __repr__(self):
        raise ZeroDivisionError
class Blocks:
    def __repr__(self):
        sleep(1)
for thing in Broken(), Blocks():
    try:
        WaitQueue(thing).park()
    except LoopExit as exit:
        print('LoopExit', exit.args != ())
"""
    )
    assert out == "LoopExit True\n" * 2


def test_it_is_raised_in_the_child_of_a_fork_that_lacks_the_other_threads() -> None:
    out = output_of(
        PRELUDE
        + """
over = threading.Event()
threading.Thread(target=over.wait).start()
child = os.fork()
if not child:
    def check():
        try:
            WaitQueue().park()
        except LoopExit:
            return
        raise AssertionError
    leave(check)
wait_for(child)
over.set()
print('both')
"""
    )
    assert out == "both\n"


def test_a_thousand_parked_ones_are_all_named() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
crowd = [spawn(queue.park) for _ in range(1000)]
try:
    crowd[0].join()
except LoopExit as exit:
    print(all(repr(it) in str(exit) for it in crowd))
"""
    )
    assert out == "True\n"


def test_an_unhandled_one_ends_the_program_with_its_text() -> None:
    from tests.support.children import run_child

    ended = run_child(PRELUDE + "WaitQueue('what never comes').park()\n")
    assert ended.status == 1 and "LoopExit" in ended.err and "'what never comes'" in ended.err, ended.describe()
