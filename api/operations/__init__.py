"""Operations: runs of the platform's own playbooks for its own ends, one module each; ``core`` is what they share."""
