"""Keys as operators paste them into an environment."""

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey


def rsa_key(text: str) -> bytes:
    """The PEM of a private RSA key, whose line breaks may have become `\\n`. Raises ValueError, without the key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(text.replace("\\n", "\n").strip().encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("expected an RSA key in PEM, as `openssl genrsa 2048` writes one") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < 1024:
        raise ValueError("expected an RSA key of at least 1024 bits, better 2048")
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def public_key(text: str) -> "EllipticCurvePublicKey":
    """SendGrid's: the DER of an elliptic curve key, in base64. Raises ValueError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise ValueError("expected the verification key of SendGrid's signed event webhook") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise ValueError("expected an elliptic curve key")
    return key
