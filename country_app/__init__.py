"""A small HTTP app with the countries of ISO 3166-1.

`countries` validates a country, `store` keeps countries in SQLite, `app` is the HTTP interface, and
`python -m country_app` runs it. The app serves every client, so by default it listens on the loopback address only.
"""
