"""pika, unmodified, with a real RabbitMQ: blocking connections wait without keeping other green threads from running.

That many wait at once is seen by what the server counts.
"""

import threading
import time
from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from gossamer import _core
from tests.support import servers
from tests.support.waiting import eventually

MANY = 50


@pytest.fixture(scope="module")
def broker() -> Iterator[pika.ConnectionParameters]:
    with servers.folder_of_its_own() as folder, servers.rabbitmq(folder) as server:
        yield pika.ConnectionParameters(server.host, server.port, heartbeat=60)


def test_consumers_wait_for_their_messages_at_the_same_time(broker: pika.ConnectionParameters) -> None:
    def consume(number: int) -> bytes:
        with pika.BlockingConnection(broker) as connection:
            channel = connection.channel()
            channel.queue_declare(f"queue {number}", auto_delete=True)
            for _, _, body in channel.consume(f"queue {number}", auto_ack=True):
                channel.cancel()
                return bytes(body)
        raise AssertionError("the queue has come to an end")

    def waiting(channel: BlockingChannel) -> int:
        declared = [channel.queue_declare(f"queue {number}", passive=True).method for number in range(MANY)]
        return sum(each.consumer_count for each in declared)

    with pika.BlockingConnection(broker) as connection:
        channel = connection.channel()
        for number in range(MANY):
            channel.queue_declare(f"queue {number}", auto_delete=True)
        consumers = [_core.spawn(consume, number) for number in range(MANY)]
        assert eventually(lambda: waiting(channel) == MANY)
        for number in range(MANY):
            channel.basic_publish("", f"queue {number}", b"%d" % number)
        for consumer in consumers:
            consumer.join()
    assert [consumer.exception for consumer in consumers] == [None] * MANY
    assert [consumer.value for consumer in consumers] == [b"%d" % number for number in range(MANY)]


def test_callbacks_are_called_while_the_connection_waits_and_stopped_from_another_thread(
    broker: pika.ConnectionParameters,
) -> None:
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    seen: list[bytes] = []
    channel.basic_consume(queue, lambda _channel, _method, _properties, body: seen.append(body), auto_ack=True)
    consuming = _core.spawn(channel.start_consuming)
    with pika.BlockingConnection(broker) as another:
        publisher = another.channel()
        for number in range(100):
            publisher.basic_publish("", queue, b"%d" % number)
    assert eventually(lambda: len(seen) == 100)
    assert seen == [b"%d" % number for number in range(100)]
    stop = threading.Thread(target=lambda: connection.add_callback_threadsafe(channel.stop_consuming))
    stop.start()
    stop.join()
    consuming.join()
    assert consuming.exception is None
    connection.close()


def test_a_wait_with_a_limit_ends_while_others_run(broker: pika.ConnectionParameters) -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        while not over:
            turns += 1
            time.sleep(0.001)

    over = False
    counting = _core.spawn(count)
    with pika.BlockingConnection(broker) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        assert next(channel.consume(queue, inactivity_timeout=0.2)) == (None, None, None)
        connection.sleep(0.1)
    over = True
    counting.join()
    assert turns > 10
