"""Usage: what hosts tell of the use of resources, kept as points, and summed for quotas."""
