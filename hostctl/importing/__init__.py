"""``hostctl import``: what an export of AWX or Semaphore describes, made through the REST API. Secrets are left out."""
