"""What the bodies of everything that runs as a job have in common."""

from typing import Annotated, Any

from pydantic import Field, StrictBool

from curator.models import Model

# An array is a list by the time that a validator has looked at what it is in, hence not strict.
Identifiers = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]

#: Priorities that the core takes.
Priority = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]


class JobRequest(Model):
    """Fields of everything that runs as a job, as in every job of the core."""

    asynchronous: StrictBool = False
    synchronous: StrictBool | None = None
    priority: Priority = 0
    user_data: Any = None

    @property
    def waits(self) -> bool:
        """Whether the answer comes when the job has ended, by the core's rules."""
        return self.synchronous if self.synchronous is not None else not self.asynchronous
