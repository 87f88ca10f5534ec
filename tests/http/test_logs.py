"""Logs that cannot be written: the clients are answered all the same."""

import pytest

from tests.http.serving import serving
from tests.support.children import output_of

FAILING = """
def application(environ, start_response):
    if environ['PATH_INFO'] == '/fails':
        raise ValueError('of the application')
    print('something', file=environ['wsgi.errors'])
    start_response('200 OK', [])
    return [b'hello']
"""


@pytest.mark.parametrize(
    "spoil",
    [
        "sys.stderr = None",
        "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
        "sys.stderr = open('/dev/null', 'w'); sys.stderr.close()",
    ],
)
def test_an_application_that_fails_is_answered_although_that_cannot_be_logged(spoil: str) -> None:
    lenient = FAILING.replace("print('something', file=environ['wsgi.errors'])", "")
    with serving(spoil + "\n" + (FAILING if "None" in spoil else lenient)) as server:
        assert [server.get(path).status for path in ("/fails", "/", "/fails")] == [500, 200, 500]


def test_accepting_goes_on_after_descriptors_were_short_and_that_could_not_be_logged() -> None:
    source = """
    short = resource.getrlimit(resource.RLIMIT_NOFILE)

    def log(text):
        seen.append(text)
        resource.setrlimit(resource.RLIMIT_NOFILE, short)
        raise OSError(28, 'No space left on device')

    seen = []

    def application(environ, start_response):
        if environ['PATH_INFO'] == '/short':
            resource.setrlimit(resource.RLIMIT_NOFILE, (5, short[1]))
        start_response('200 OK', [])
        return [str(len(seen)).encode()]
    """
    with serving(source, "log=log") as server:
        assert server.get("/short").status == 200
        assert int(server.get().body) >= 1


def test_a_lasting_shortage_of_descriptors_does_not_flood_the_log() -> None:
    source = """
    enough = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen = []

    def allow_again():
        while not seen:
            _core.sleep(0.001)
        _core.sleep(0.5)
        resource.setrlimit(resource.RLIMIT_NOFILE, enough)

    def application(environ, start_response):
        if environ['PATH_INFO'] == '/short':
            resource.setrlimit(resource.RLIMIT_NOFILE, (5, enough[1]))
            _core.spawn(allow_again)
        start_response('200 OK', [])
        return [repr(seen).encode()]
    """
    with serving(source, "log=seen.append") as server:
        assert server.get("/short").status == 200
        text = "cannot accept connections: Too many open files; raise the limit of open files (ulimit -n)"
        assert server.get().body.decode() == repr([text])


@pytest.mark.parametrize("log", ["full", "closed", "none"])
def test_the_logs_of_a_server_of_gevents_interface_may_fail(log: str) -> None:
    source = """
    import http.client, sys
    from gossamer.pywsgi import WSGIServer

    kind = sys.argv[1]
    log = open('/dev/full' if kind == 'full' else '/dev/null', 'w', buffering=1)
    if kind == 'closed':
        log.close()
    if kind == 'none':
        sys.stderr, log = None, 'default'

    def application(environ, start_response):
        if environ['PATH_INFO'] == '/fails':
            raise ValueError('of the application')
        start_response('200 OK', [])
        return [b'hello']

    def status(path):
        client = http.client.HTTPConnection('127.0.0.1', server.server_port)
        client.request('GET', path)
        with client.getresponse() as response:
            return response.status

    with WSGIServer(('127.0.0.1', 0), application, log=log, error_log=log) as server:
        server.start()
        print([status(path) for path in ('/fails', '/', '/fails')])
    """
    assert output_of(source, log) == "[500, 200, 500]\n"
