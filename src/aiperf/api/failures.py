"""What can go wrong between a client and the controller's API, as the user reads it.

Owns: the exceptions that the client raises. Does not own: when.
"""

from aiperf.errors import BenchmarkError, InfrastructureError


class ApiRefusedError(InfrastructureError):
    """The controller answered, and refused. `status` is that of HTTP; the text says what and what to do."""

    def __init__(self, status: int, what: str, hint: str = "") -> None:
        super().__init__(f"the controller refused: {what}" + (f"\n    {hint}" if hint else ""))
        self.status = status


class ControllerLostError(BenchmarkError):
    """The controller could not be reached for longer than we are patient."""


class DamagedTransferError(InfrastructureError):
    """A file arrived with another checksum, more than once: something on the way changes bytes, or a disk does."""
