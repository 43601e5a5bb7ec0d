"""Asks a web host. ask.py ADDRESS REQUESTS: JSON of [{"host", "path", "headers"}, ...] in, of their answers out."""

import http.client
import json
import sys


def ask(address, request):
    """Return the answer to one request."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(
            "GET", request.get("path", "/"), headers={"Host": request["host"], **request.get("headers", {})}
        )
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        return {"status": answer.status, "body": body, "headers": {k.lower(): v for k, v in answer.getheaders()}}
    finally:
        connection.close()


print(json.dumps([ask(sys.argv[1], request) for request in json.loads(sys.argv[2])]))
