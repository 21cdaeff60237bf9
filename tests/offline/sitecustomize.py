"""Python loads this module at start-up wherever its folder is on PYTHONPATH: no network in tests.

An audit hook sees every connection and every name look-up of the process, from any library, and
refuses all but this machine's own addresses. The tests put it on the path of the kernels that
execute the notebooks, too.
"""

import ipaddress
import sys

WATCHED = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
}


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback or str(host) == "0.0.0.0"
    except ValueError:
        return False


def _refuse_network(event: str, arguments: tuple) -> None:
    if event not in WATCHED:
        return
    address = arguments[WATCHED[event]]
    host = address[0] if isinstance(address, tuple) else address
    # A local socket's address is a path, not a (host, port) pair.
    if event in ("socket.connect", "socket.sendto") and not isinstance(address, tuple):
        return
    if not _is_loopback(host):
        raise OSError(f"the tests run offline: a connection to {host!r} was refused")


sys.addaudithook(_refuse_network)
OFFLINE_GUARD = True
