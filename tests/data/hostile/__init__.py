"""Three hundred hostile files, in data sets as strangers may send them.

Files are the same each time, but for the paths in pickles that run code.
`python -m tests.data.hostile FOLDER` writes them all.
"""
