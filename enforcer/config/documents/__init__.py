"""YAML documents, with the file and line of each value: how they are read, and from which files."""
