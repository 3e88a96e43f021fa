"""The socket that is served on, bound before anything is started: its address is known, and nobody else can take it."""

import socket


def bound(host: str, port: int) -> socket.socket:
    """A listening socket; `port` 0 takes a free one. OSError when the address is taken.

    It listens at once: two that are only bound may have one port, and the second to listen fails then.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """http://host:port, by the name that was asked for."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
