import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from gossamer.http.access_log import Access
from gossamer.http.errors import Refusal
from gossamer.http.limits import Limits
from gossamer.http.request import RequestReader
from gossamer.http.transport import Settings

class Service(Settings):
    application: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
    access_log: Callable[[Access], object] | None
    log: Callable[[str], object]
    @property
    def open_connections(self) -> int: ...
    @property
    def timeout(self) -> float | None: ...
    def __init__(
        self,
        application: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]],
        limits: Limits,
        server_name: str,
        timeout: float | None,
        access_log: Callable[[Access], object] | None,
        log: Callable[[str], object],
        all_ended: Callable[[], object],
    ) -> None: ...
    def sweep(self) -> None: ...
    def close_idle(self) -> None: ...
    def kill_all(self) -> None: ...
    def slowest(self, count: int) -> list[tuple[str, str, float]]: ...
    def figures(self) -> dict[str, int]: ...

class Connection(RequestReader):
    driver: Callable[[], bool] | None
    def __init__(
        self,
        service: Service,
        socket: socket.socket,
        template: dict[str, Any],
        address: str,
        port: str,
        tls: ssl.SSLContext | bool | None = None,
    ) -> None: ...
    def serve(self) -> None: ...
    def serve_request(self) -> bool: ...
    def refuse(self, refusal: Refusal) -> None: ...
    def send_response(self, result: Iterable[bytes]) -> None: ...
    def take_over(self) -> socket.socket: ...
