"""Request parameters, from a form."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from authserver.errors import OAuthError

Form = Mapping[str, str]


def parse_form(content_type: str, body: bytes) -> Form:
    """Read the parameters of an `application/x-www-form-urlencoded` body (RFC 6749 appendix B).

    Raises `OAuthError` (invalid_request) for another content type, a body that is not UTF-8, or a repeated parameter.
    """
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "the body must be application/x-www-form-urlencoded")
    form: dict[str, str] = {}
    try:
        parameters = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise OAuthError("invalid_request", "the body must be UTF-8") from None
    for name, value in parameters:
        # RFC 6749 §3.2: parameters must not be included more than once.
        if name in form:
            raise OAuthError("invalid_request", "a parameter is included more than once")
        form[name] = value
    # RFC 6749 §3.2: a parameter without a value is treated as if it were omitted.
    return {name: value for name, value in form.items() if value}


def required(form: Form, name: str) -> str:
    """Return the parameter `name`, or raise `OAuthError` (invalid_request)."""
    try:
        return form[name]
    except KeyError:
        raise OAuthError("invalid_request", f"the parameter {name} is missing") from None
