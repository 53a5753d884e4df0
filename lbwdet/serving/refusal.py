"""Why a request gets no boxes."""

from lbwdet.errors import LBWError

CLIENT_LEFT = 499  # not of the standard: nobody reads it but the metrics


class Refused(LBWError):
    """A request is not answered by boxes.

    Args:
        status: of HTTP.
        message: one sentence for whoever sent it.
        retry_after: seconds after which another try may go better; None: it would not.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
