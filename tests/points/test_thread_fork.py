"""Forks by threads that are green: who is the main thread of the child, and whom it finds ended."""

from tests.support.children import output_of
from tests.support.green_threads import PRELUDE


def test_after_a_fork_the_green_thread_that_forked_is_the_main_thread() -> None:
    out = output_of(
        PRELUDE
        + """
def other():
    while not stop:
        time.sleep(0.001)
    print(threading.current_thread().name, 'ends', flush=True)

def fork():
    child = os.fork()
    me = threading.current_thread()
    if child == 0:
        assert me is threading.main_thread() and me.is_alive() and me.ident == threading.get_ident()
        stop.append(1)
        another = threading.Thread(target=time.sleep, args=(0.05,))
        another.start()
        assert another.is_alive()
        another.join()
        assert not another.is_alive()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert me is not threading.main_thread()

stop = []
native = _thread.allocate_lock()
start_native(time.sleep, (0.2,))
threads = [threading.Thread(target=other, name='other'), threading.Thread(target=fork)]
for thread in threads:
    thread.start()
threads[1].join()
print('parent', flush=True)
stop.append(1)
threads[0].join()
"""
    )
    assert out == "other ends\nparent\nother ends\n"


def test_who_was_the_main_thread_is_over_for_the_child_of_a_green_thread() -> None:
    out = output_of(
        PRELUDE
        + """
def fork():
    child = os.fork()
    if child == 0:
        assert not main.is_alive() and main is not threading.main_thread()
        main.join()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

main = threading.current_thread()
forks = threading.Thread(target=fork)
forks.start()
forks.join()
print(main.is_alive())
"""
    )
    assert out == "True\n"
