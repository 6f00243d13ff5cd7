"""Whether a port is free, said before anything is started."""

import errno
import os
import socket

from tandem.core.operator_error import OperatorError
from tandem.ops.services import Service


class PortError(OperatorError):
    """A port cannot be listened on; the message names the variable that chooses another."""


def require_free(host: str, port: int, variable: str) -> None:
    """Raises PortError. The port may still be taken between this and the server's own attempt."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortError(
                    f"port {port} on {host} is taken by another program: stop it, or choose another port with "
                    f"{variable}, as in `{variable}={port + 100} …`"
                ) from None
            raise PortError(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another with {variable}"
            ) from None


def chosen_port(service: Service) -> int:
    """The port of `tandem up`, from the service's own variable; raises PortError."""
    text = os.environ.get(service.port_variable, "").strip()
    if not text:
        return service.default_port
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise PortError(f"{service.port_variable}={text!r} is not a port: use a number from 1 to 65535")
    return int(text)
