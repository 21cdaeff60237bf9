"""Tools that build, execute and check the course; not part of the installed package."""
