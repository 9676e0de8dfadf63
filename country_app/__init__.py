"""The countries of ISO 3166-1 as a small HTTP app.

`countries` is the value and what is wrong with a bad one, `store` keeps countries in SQLite, `app` is HTTP, and
`python -m country_app` runs it. The app serves whoever reaches it, so it listens on the loopback address.
"""
