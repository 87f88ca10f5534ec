import socket as _socket

from gossamer.http.limits import Limits

class Settings:
    def __init__(self, limits: Limits, server_name: str) -> None: ...

class Transport:
    @property
    def socket(self) -> _socket.socket: ...
    def __init__(self, settings: Settings, socket: _socket.socket, encrypted: bool) -> None: ...
