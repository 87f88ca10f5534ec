import socket
from typing import Any

from gossamer.http.input import BodySource
from gossamer.http.transport import Settings

class RequestReader(BodySource):
    def __init__(
        self,
        settings: Settings,
        socket: socket.socket,
        encrypted: bool,
        template: dict[str, Any],
        address: str,
        port: str,
    ) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_message_complete(self) -> None: ...
