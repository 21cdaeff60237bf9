"""The page: a trained model in one HTML file that opens without a server, offline.

`build` puts the file together, `python -m tools.page` is the command behind `make page`.
"""
