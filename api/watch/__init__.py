"""The health of db shards: who looks, what it means, and when a replica is promoted without anybody asking."""
