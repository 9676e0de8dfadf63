"""django-oauth-toolkit with one client of the country app and one that introspects: `python server.py PORT`."""

import sys
import tempfile

import django
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path

database = tempfile.NamedTemporaryFile()  # noqa: SIM115 - as long as the process
settings.configure(
    SECRET_KEY="interop",  # noqa: S106 - of a database that ends with the process
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database.name}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    USE_TZ=True,
    OAUTH2_PROVIDER={
        "SCOPES": {
            "country.read": "Read countries",
            "country.write": "Write countries",
            "introspection": "Introspect tokens",
        }
    },
)
django.setup()

urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]


def register(name: str) -> None:
    """Register a client that authenticates with a secret."""
    from oauth2_provider.models import Application

    Application.objects.create(
        name=name,
        client_id=name,
        client_secret=f"{name}-secret",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    register("country-client")
    register("enforcer")
    call_command("runserver", f"127.0.0.1:{sys.argv[1]}", use_reloader=False, skip_checks=True)
