"""What the API's speed is compared with: Flask, gunicorn, a small JSON answer, nothing else."""

from __future__ import annotations

from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/")
@app.get("/readyz")
def answer() -> Response:
    """Answer."""
    return jsonify(status="ok")
