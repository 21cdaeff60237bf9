"""The guard that keeps tests and notebook kernels off the network."""

import socket
import threading

import pytest
from jupyter_client.manager import start_new_kernel

OUTSIDE = "192.0.2.1"  # reserved for documentation (RFC 5737): nobody answers there


@pytest.mark.parametrize("address", [(OUTSIDE, 80), ("8.8.8.8", 53)])
def test_connections_to_the_outside_are_refused(address):
    with socket.socket() as connection, pytest.raises(OSError, match="offline"):
        connection.connect(address)


def test_name_lookups_are_refused():
    with pytest.raises(OSError, match="offline"):
        socket.getaddrinfo("example.com", 80)


def test_loopback_works():
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"))
    thread.start()
    with socket.create_connection(server.getsockname(), timeout=60) as connection:
        assert connection.recv(5) == b"hello"
    thread.join()
    server.close()


def test_a_kernel_is_offline_too():
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=300)
    try:
        code = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"
        reply = client.execute_interactive(code, timeout=300, output_hook=lambda message: None)
        assert reply["content"]["status"] == "error"
        assert "offline" in reply["content"]["evalue"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
