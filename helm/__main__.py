"""Writes the generated files of the charts: `python -m helm`."""

from helm import dashboard, rules, values

for path, text in (*values.derived(), *dashboard.derived(), *rules.derived()):
    path.write_text(text, "utf-8")
    print(path)
