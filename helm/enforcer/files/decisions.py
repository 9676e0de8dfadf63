"""Asks a running enforcer, and compares its answers: run by `helm test`, with nothing but Python's own library.

ENFORCER is its URL, REQUESTS the questions and what must be answered, as JSON. With TOKEN_URL, CLIENT_ID and
CLIENT_SECRET_FILE, a token is fetched for each question that names a scope.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

PATIENCE = 10.0
# Whether the certificate is right is not asked here: it is for the names that clients use.
UNVERIFIED = ssl._create_unverified_context()


class Unfollowed(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=UNVERIFIED), Unfollowed
)


def send(request):
    """Return the status and the challenge of the answer; 0 and why where there is none."""
    try:
        with OPENER.open(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers.get("WWW-Authenticate", "")
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get("WWW-Authenticate", "")
    except OSError as error:
        return 0, str(error)


def fetch_token(scope):
    """Return a token of a scope."""
    with open(os.environ["CLIENT_SECRET_FILE"]) as file:
        secret = file.read().removesuffix("\n")
    form = {"grant_type": "client_credentials", "scope": scope}
    form |= {"client_id": os.environ["CLIENT_ID"], "client_secret": secret}
    body = urllib.parse.urlencode(form).encode()
    with OPENER.open(os.environ["TOKEN_URL"], body, PATIENCE) as answer:
        return json.load(answer)["access_token"]


def ask(question):
    """Tell what came back, and whether it is what must be answered."""
    fields = {"Host": question["host"]} if "host" in question else {}
    token = fetch_token(question["scope"]) if "scope" in question else question.get("token")
    if token is not None:
        fields["Authorization"] = f"Bearer {token}"
    method = question.get("method", "GET")
    url = os.environ["ENFORCER"] + question["path"]
    status, challenge = send(urllib.request.Request(url, headers=fields, method=method))
    wanted = question["status"], question.get("challenge", "")
    right = status == wanted[0] and wanted[1] in challenge
    by = f" with scope {question['scope']}" if "scope" in question else " with a token" if token else ""
    print(f"{'ok   ' if right else 'WRONG'} {method} {question['path']}{by}: {status} {challenge}".rstrip())
    if not right:
        print(f"      must be {wanted[0]} {wanted[1]}".rstrip())
    return right


def main():
    """Ask all questions, and return the exit code."""
    wrong = [question for question in json.loads(os.environ["REQUESTS"]) if not ask(question)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
