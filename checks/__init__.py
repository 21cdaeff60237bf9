"""What an author needs: `make check`."""
