"""YAML and JSON as text: documents are read, changed in their own text, and compared; nothing here knows of pods.

`documents` reads, `writer` writes, `json_diff` compares two values, `editor` applies the differences to a text so that
everything else in it stays, and `stream` does so for all `objects` of several files.
"""
