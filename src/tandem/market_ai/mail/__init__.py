"""How a mail is written, signed and linked: no feature, but what all that send are made of."""
