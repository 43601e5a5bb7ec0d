"""Moves: resources that go to another shard of their role while they are in service."""
