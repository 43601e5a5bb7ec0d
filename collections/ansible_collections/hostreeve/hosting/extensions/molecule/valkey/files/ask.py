"""Asks Valkey, as somebody of this host: reads a list of questions as JSON, writes the list of answers.

A question: {"instance" or "port", "words", "user", "password", "as"}. Without "as" it comes from root. With "each", a
list of words, it is one question for each.
"""

import json
import os
import subprocess
import sys


def ask(question):
    """Return what valkey-cli says, errors included."""
    where = ["-p", str(question["port"])] if "port" in question else ["-s", socket(question["instance"])]
    who = ["--user", question["user"], "--no-auth-warning"] if "user" in question else []
    run_as = ["runuser", "-u", question["as"], "--"] if "as" in question else []
    done = subprocess.run(
        [*run_as, "valkey-cli", *where, *who, *map(str, question["words"])],
        env={"PATH": os.environ["PATH"], **({"REDISCLI_AUTH": question["password"]} if "password" in question else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        timeout=20,
        check=False,
    )
    return done.stdout.strip()


def socket(instance):
    """Return the path of an instance's socket."""
    return f"/run/hostreeve-valkey/{instance}/valkey.sock"


def single(questions):
    """Yield questions with one command each."""
    for question in questions:
        for words in question.get("each", [question.get("words")]):
            yield {**question, "words": words}


print(json.dumps([ask(question) for question in single(json.load(sys.stdin))]))
