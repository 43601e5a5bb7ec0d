"""``hostctl``: Hostreeve's command line, a client of the REST API and of nothing else."""
