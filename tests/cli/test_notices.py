"""``hostctl notifications`` and ``hostctl notices``."""

from __future__ import annotations


def test_a_notification_and_its_notices(cli):
    made = cli.json(
        "notifications", "create", "--name", "Portal", "--type", "webhook", "--url", "https://portal.example.net/",
        "--topics", "resource_active", "--topics", "resource_failed", "--kinds", "fqdn", "--headers", "X-Team=web",
    )  # fmt: skip
    resource = made["resource"]
    assert resource["topics"] == ["resource_active", "resource_failed"] and resource["headers"] == {"X-Team": "web"}
    assert len(made["secret"]) >= 32
    assert cli.json("notices", "list") == {"items": []}
    cli.run("notifications", "test", "Portal")
    (notice,) = cli.json("notices", "list", "--notification", resource["id"], "--state", "pending")["items"]
    assert notice["topic"] == "test" and notice["target"] == "https://portal.example.net"
    assert notice["id"] in cli.run("notices", "list").stdout
    assert cli.run("notices", "redeliver", notice["id"]).stdout == f"{notice['id']}: pending\n"
    cli.run("notices", "redeliver", resource["id"], code=3)
