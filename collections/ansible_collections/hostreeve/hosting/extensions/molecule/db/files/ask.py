"""Logs in to a database server through its port, runs statements, prints ``{"rows", "error", "tls", "alive"}`` as JSON.

Reads ``{host, user, password, database, statements, hold, client}`` from stdin. ``hold``: seconds for which the
connection then stays, unless the server ends it; it tells whether it still lives. ``client``: an address for which it
speaks, as a load balancer does.
"""

import json
import socket
import sys
import time

import pymysql

asked = json.load(sys.stdin)
answer = {"rows": [], "error": "", "tls": "", "alive": True}
try:
    connection = pymysql.connect(
        host=asked["host"],
        user=asked["user"],
        password=asked["password"],
        database=asked.get("database"),
        connect_timeout=5,
        autocommit=True,
        ssl={"check_hostname": False} if asked.get("tls") else None,
        defer_connect=True,
    )
    through = None
    if asked.get("client"):
        through = socket.create_connection((asked["host"], 3306), timeout=5)
        through.sendall(f"PROXY TCP4 {asked['client']} {asked['host']} 40000 3306\r\n".encode())
    connection.connect(through)
    with connection.cursor() as cursor:
        for statement in asked.get("statements", ()):
            cursor.execute(statement)
            answer["rows"].append([list(map(str, row)) for row in cursor.fetchall()])
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        answer["tls"] = cursor.fetchone()[1]
        if asked.get("hold"):
            print("held", file=sys.stderr, flush=True)
            end = time.monotonic() + asked["hold"]
            while answer["alive"] and time.monotonic() < end:
                time.sleep(0.5)
                try:
                    cursor.execute("SELECT 1")
                except pymysql.MySQLError:
                    answer["alive"] = False
except (pymysql.MySQLError, OSError) as error:
    answer["error"] = str(error.args[1] if len(error.args) > 1 else error)
print(json.dumps(answer))
