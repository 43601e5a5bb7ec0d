"""``hostctl apply``: makes a platform hold what a YAML file describes. It creates and changes, and deletes nothing."""
