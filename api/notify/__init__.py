"""Telling others: notifications, call-backs, and the notices that they make of what was announced.

Importing this package lets it hear what is announced.
"""

from api.notify import notification as notification
from api.notify import outbox as outbox
