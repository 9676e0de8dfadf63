"""Everything for operators: the admin server, the decision log, logs, and the watcher of the configuration's files."""
