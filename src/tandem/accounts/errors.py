"""The errors of /api/auth: better-auth's codes, messages and shape, `{"message": …, "code": …}`.

They are no Problems: a better-auth client reads this shape, and the rest of the API speaks RFC 9457.
"""

from collections.abc import Mapping


class AuthError(Exception):
    """An answer of /api/auth with `status` >= 400. Use one of the functions below."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})


def unauthorized() -> AuthError:
    return AuthError(401, "UNAUTHORIZED", "Unauthorized")


def invalid_email_or_password() -> AuthError:
    return AuthError(401, "INVALID_EMAIL_OR_PASSWORD", "Invalid email or password")


def invalid_password() -> AuthError:
    return AuthError(400, "INVALID_PASSWORD", "Invalid password")


def invalid_email() -> AuthError:
    return AuthError(400, "INVALID_EMAIL", "Invalid email")


def password_too_short() -> AuthError:
    return AuthError(400, "PASSWORD_TOO_SHORT", "Password too short")


def password_too_long() -> AuthError:
    return AuthError(400, "PASSWORD_TOO_LONG", "Password too long")


def user_already_exists() -> AuthError:
    code, message = "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", "User already exists. Use another email."
    return AuthError(422, code, message)


def credential_account_not_found() -> AuthError:
    return AuthError(400, "CREDENTIAL_ACCOUNT_NOT_FOUND", "Credential account not found")


def email_can_not_be_updated() -> AuthError:
    return AuthError(400, "EMAIL_CAN_NOT_BE_UPDATED", "Email can not be updated")


def no_fields_to_update() -> AuthError:
    return AuthError(400, "NO_FIELDS_TO_UPDATE", "No fields to update")


def invalid_origin() -> AuthError:
    return AuthError(403, "INVALID_ORIGIN", "Invalid origin")


def missing_or_null_origin() -> AuthError:
    return AuthError(403, "MISSING_OR_NULL_ORIGIN", "Missing or null Origin")


def invalid_callback_url() -> AuthError:
    return AuthError(403, "INVALID_CALLBACK_URL", "Invalid callbackURL")


def cross_site_navigation_blocked() -> AuthError:
    code = "CROSS_SITE_NAVIGATION_LOGIN_BLOCKED"
    message = "Cross-site navigation login blocked. This request appears to be a CSRF attack."
    return AuthError(403, code, message)
