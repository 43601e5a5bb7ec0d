"""Say something to HAProxy's admin socket, as a person on the host might: runtime.py 'del map … name'."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/run/haproxy/admin.sock")
    connection.sendall(sys.argv[1].encode() + b"\n")
    connection.shutdown(socket.SHUT_WR)
    while data := connection.recv(65536):
        sys.stdout.write(data.decode())
