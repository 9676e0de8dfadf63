"""The program of `helm test`: sends requests to a running enforcer and checks its responses.

It uses only the standard library. Environment: ENFORCER is the enforcer's URL, REQUESTS the requests and expected
responses as JSON. With TOKEN_URL, CLIENT_ID and CLIENT_SECRET_FILE, a token is fetched for each request with a scope.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

TIMEOUT = 10.0
# The certificate is not verified: it is for the host names that clients use, not for the name used here.
UNVERIFIED = ssl._create_unverified_context()


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Returns redirects instead of following them."""

    def redirect_request(self, *_: object) -> None:
        return None


OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=UNVERIFIED), NoRedirects
)


def send(request: urllib.request.Request) -> tuple[int, str]:
    """Return the status and the challenge of the response; 0 and the error if there is none."""
    try:
        with OPENER.open(request, timeout=TIMEOUT) as response:
            return response.status, response.headers.get("WWW-Authenticate", "")
    except urllib.error.HTTPError as response:
        return response.code, response.headers.get("WWW-Authenticate", "")
    except OSError as error:
        return 0, str(error)


def fetch_token(scope: str) -> str:
    """Return a token with a scope."""
    with open(os.environ["CLIENT_SECRET_FILE"]) as file:
        secret = file.read().removesuffix("\n")
    form = {"grant_type": "client_credentials", "scope": scope}
    form |= {"client_id": os.environ["CLIENT_ID"], "client_secret": secret}
    body = urllib.parse.urlencode(form).encode()
    with OPENER.open(os.environ["TOKEN_URL"], body, TIMEOUT) as response:
        return str(json.load(response)["access_token"])


def check(case: dict[str, Any]) -> bool:
    """Send a request, print the result, and return whether the response is the expected one."""
    fields = {"Host": case["host"]} if "host" in case else {}
    token = fetch_token(case["scope"]) if "scope" in case else case.get("token")
    if token is not None:
        fields["Authorization"] = f"Bearer {token}"
    method = case.get("method", "GET")
    url = os.environ["ENFORCER"] + case["path"]
    status, challenge = send(urllib.request.Request(url, headers=fields, method=method))
    expected = case["status"], case.get("challenge", "")
    passed = status == expected[0] and expected[1] in challenge
    by = f" with scope {case['scope']}" if "scope" in case else " with a token" if token else ""
    print(f"{'ok   ' if passed else 'WRONG'} {method} {case['path']}{by}: {status} {challenge}".rstrip())
    if not passed:
        print(f"      expected {expected[0]} {expected[1]}".rstrip())
    return passed


def main() -> int:
    """Send all requests, and return the exit code."""
    failed = [case for case in json.loads(os.environ["REQUESTS"]) if not check(case)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
