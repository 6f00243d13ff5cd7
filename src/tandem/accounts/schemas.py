"""What /api/auth accepts and answers: the names and spellings of better-auth."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from tandem.core.jobs.payload import JobPayload

MAX_PASSWORD_INPUT = 1000  # characters; the exact bound is a code of its own, PASSWORD_TOO_LONG
MAX_EMAIL = 254  # RFC 5321, 4.5.3.1.3
# better-auth's rule (zod's): ASCII, no leading, trailing or double dots, a top-level domain of letters.
_EMAIL = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_'+\-.]*[A-Za-z0-9_+-]@(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}")


def to_iso(moment: datetime) -> str:
    """Exactly three fraction digits: better-auth's JavaScript client reads the fraction as milliseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def is_email(text: str) -> bool:
    return len(text) <= MAX_EMAIL and _EMAIL.fullmatch(text) is not None


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise PydanticCustomError("text", "Invalid input: NUL and lone surrogates cannot be stored")
    return text


def _email(text: str) -> str:
    if not is_email(text):
        raise PydanticCustomError("email", "Invalid email address")
    return text.lower()


Timestamp = Annotated[datetime, PlainSerializer(to_iso, return_type=str)]
Text = Annotated[str, AfterValidator(_storable)]
Email = Annotated[Text, AfterValidator(_email), Field(max_length=MAX_EMAIL, examples=["ada@example.com"])]
Name = Annotated[Text, Field(max_length=200, examples=["Ada Lovelace"])]
Image = Annotated[Text, Field(max_length=2000, description="Address of a profile picture.")]
Password = Annotated[Text, Field(min_length=1, max_length=MAX_PASSWORD_INPUT, examples=["correct horse battery"])]
CallbackUrl = Annotated[
    Text, Field(max_length=2000, description="Where the client goes next: a path or a trusted origin.")
]
RememberMe = Annotated[
    bool | None, Field(description="false: the session lasts a day and the cookie ends with the browser.")
]


class Body(BaseModel):
    """Fields it does not know are ignored, as better-auth does: plugins of its clients send some."""

    model_config = ConfigDict(extra="ignore", strict=True)


class SignUp(Body):
    name: Name
    email: Email
    password: Password
    image: Image | None = None
    rememberMe: RememberMe = None  # noqa: N815 - the wire's spelling, here and below
    callbackURL: CallbackUrl | None = None  # noqa: N815


class SignIn(Body):
    email: Text = Field(max_length=1000, examples=["ada@example.com"])
    password: Text = Field(max_length=MAX_PASSWORD_INPUT, examples=["correct horse battery"])
    rememberMe: RememberMe = None  # noqa: N815
    callbackURL: CallbackUrl | None = None  # noqa: N815


class RevokeSession(Body):
    token: Text = Field(
        max_length=1000,
        description="The `token` of an entry of /list-sessions.",
        examples=["Zk3tXwq0bJ5cR8yUe2VfLh7sNaPdMg4o"],
    )


class ChangePassword(Body):
    currentPassword: Text = Field(max_length=MAX_PASSWORD_INPUT, examples=["correct horse battery"])  # noqa: N815
    newPassword: Text = Field(max_length=MAX_PASSWORD_INPUT, examples=["battery horse correct"])  # noqa: N815
    revokeOtherSessions: bool | None = None  # noqa: N815


class UpdateUser(Body):
    """Only what is sent changes; `image: null` removes the picture."""

    name: Name | None = None
    image: Image | None = None
    email: Any = Field(None, description="Refused with EMAIL_CAN_NOT_BE_UPDATED.")

    @model_validator(mode="after")
    def _name_stays_a_name(self) -> "UpdateUser":
        if "name" in self.model_fields_set and self.name is None:
            raise PydanticCustomError("name", "name: expected string, received null")
        return self


class DeleteUser(Body):
    password: Password


class UserView(BaseModel):
    id: str
    name: str
    email: str
    emailVerified: bool  # noqa: N815
    image: str | None
    createdAt: Timestamp  # noqa: N815
    updatedAt: Timestamp  # noqa: N815


class SessionView(BaseModel):
    id: str
    userId: str  # noqa: N815
    token: str = Field(description="Of the caller's own session its token; of another, a handle that only revokes it.")
    expiresAt: Timestamp  # noqa: N815
    createdAt: Timestamp  # noqa: N815
    updatedAt: Timestamp  # noqa: N815
    ipAddress: str | None  # noqa: N815
    userAgent: str | None  # noqa: N815


class SessionAndUser(BaseModel):
    session: SessionView
    user: UserView


class SignedUp(BaseModel):
    token: str
    user: UserView


class SignedIn(BaseModel):
    redirect: bool = Field(description="true when callbackURL was given; the client then goes to `url`.")
    token: str
    url: str | None = Field(None, description="Only with callbackURL.")
    user: UserView


class PasswordChanged(BaseModel):
    token: str | None = Field(description="The new session's, when the others were revoked.")
    user: UserView


class Status(BaseModel):
    status: bool = True


class Success(BaseModel):
    success: bool = True


class UserDeleted(BaseModel):
    success: bool = True
    message: str = "User deleted"


class Ok(BaseModel):
    ok: bool = True


class AuthErrorBody(BaseModel):
    """The shape of every error under /api/auth."""

    message: str
    code: str


class PurgeExpiredSessions(JobPayload, job_type="purge_expired_sessions"):
    """Job: delete sessions, verifications and API tokens that have expired."""
