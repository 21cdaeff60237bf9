"""From chapters to notebooks: read, compose, execute, fill results in, check."""
