"""``python -m hostctl``."""

from hostctl.main import main

main(prog_name="hostctl")
