"""A decision log as an app with 38 endpoints causes it in a week of report mode, with everything that disturbs."""

from __future__ import annotations

import random
from collections.abc import Iterator

from enforcer.decision_log.record import LogLine

USERS = [f"{name}.{letter}" for name in ("ada", "ben", "cleo", "dan", "eva", "finn") for letter in "klmnop"]
TOPICS = ("start", "install", "upgrade", "backup", "limits", "errors", "hooks", "roles", "teams", "audit", "search")
PRODUCTS = [*TOPICS, *(f"{topic}-pro" for topic in TOPICS), *(f"{topic}-kit" for topic in TOPICS)]
STANDARD = ("openid", "profile")
SCANNED = ("/.env", "/wp-login.php", "/admin.php", "/backup.zip", "/phpmyadmin/index.php", "/api/v1/users")

# Each endpoint: weight, methods, path, scopes. {n}: number; {user}: the token's subject; {other}: any user.
API = [
    (60, "GET", "/v2/orders", "orders.read"), (400, "GET", "/v2/orders/{n}", "orders.read"),
    (60, "POST", "/v2/orders", "orders.write"), (40, "PUT PATCH", "/v2/orders/{n}", "orders.write"),
    (10, "DELETE", "/v2/orders/{n}", "orders.write"), (80, "GET", "/v2/orders/{n}/items", "orders.read"),
    (80, "GET", "/v2/orders/{n}/items/{n}", "orders.read"), (20, "POST", "/v2/orders/{n}:cancel", "orders.write"),
    (60, "GET", "/v2/orders/{n}/invoice.pdf", "orders.read"), (50, "GET", "/v2/invoices/{n}.pdf", "orders.read"),
    (90, "GET", "/v2/docs/{topic}", "docs.read"), (30, "PUT", "/v2/docs/{topic}", "docs.write"),
    (70, "GET", "/v2/products", "products.read products.admin"),
    (200, "GET", "/v2/products/{product}", "products.read products.admin"),
    (120, "GET", "/v2/users/me", ""), (60, "GET", "/v2/users/{user}", ""), (30, "PATCH", "/v2/users/{user}", ""),
    (50, "GET", "/v2/users/{user}/avatar.png", ""), (20, "GET", "/v2/search", ""),
]  # fmt: skip
ADMIN = [
    (20, "GET", "/users", "admin"), (20, "GET", "/users/{other}", "admin"),
    (10, "PUT", "/users/{other}/roles", "admin"), (10, "DELETE", "/users/{other}", "admin"),
    (20, "GET", "/reports/{n}", "admin"),
    (10, "POST", "/reports", "admin"),
]  # fmt: skip
CLIENTS = {
    "web": "orders.read orders.write docs.read products.read",
    "mobile": "orders.read products.read",
    "editor": "docs.read docs.write",
    "shop": "products.admin products.read",
    "importer": "products.admin",
    "console": "admin",
}


def realistic_log(decisions: int = 5000, seed: int = 1) -> Iterator[LogLine]:
    """Yield the decisions; the same seed leads to the same log."""
    chance = random.Random(seed)
    weights = [weight for weight, *_ in (*API, *ADMIN)]
    for number in range(decisions):
        if number % 25 == 0:
            yield _line(chance, "api.example.org", "GET", chance.choice(SCANNED), "web", ("orders.read",), "ada.k", 404)
            continue
        endpoint = chance.choices([*API, *ADMIN], weights)[0]
        _, methods, path, needed = endpoint
        able = [
            name
            for name, scopes in CLIENTS.items()
            if (not needed and name != "console") or {*needed.split()} & {*scopes.split()}
        ]
        client, user = chance.choice(able), chance.choice(USERS)
        scopes = (*STANDARD, *CLIENTS[client].split())
        if path == "/v2/docs/{topic}" and number % 100 == 1:
            scopes = STANDARD  # a client with an old token
        for name, values in (("user", [user]), ("other", USERS), ("topic", TOPICS), ("product", PRODUCTS)):
            path = path.replace(f"{{{name}}}", chance.choice(values))
        while "{n}" in path:
            path = path.replace("{n}", str(chance.randrange(100_000)), 1)
        status = chance.choices([200, 404, 403, 500], [95, 3, 1, 1])[0]
        host = "admin.example.org" if endpoint in ADMIN else chance.choice(["api.example.org", "api.example.org:443"])
        yield _line(chance, host, chance.choice(methods.split()), path, client, scopes, user, status)


def _line(
    chance: random.Random,
    host: str,
    method: str,
    path: str,
    client: str,
    scopes: tuple[str, ...],
    subject: str,
    status: int,
) -> LogLine:
    return LogLine(
        time="2026-11-23T16:25:00Z",
        method=method,
        path=path,
        route="_none",
        decision="would_deny",
        reason="no_rule",
        scopes=scopes,
        client_id=client,
        subject=subject,
        client=f"192.0.2.{chance.randrange(256)}",
        host=host,
        status=status,
    )
