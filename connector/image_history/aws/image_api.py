"""SageMaker's image operations in one region, one validated answer per call.

Must not know retry, pages or streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from image_history.aws.answers import Owner, require_subject
from image_history.aws.bodies import AliasesBody, Answer
from image_history.aws.caller import Caller, require_new
from image_history.aws.deadline import Callers
from image_history.aws.decoding import decoded
from image_history.aws.sessions import Access, Login, Timeouts
from image_history.aws.transport import Exchange

__all__ = ["Access", "ImageApi", "Login", "Timeouts"]


class ImageApi:
    """SageMaker's image operations in one region, one request per call. Safe to share between threads.

    `where` names the scope in messages. `account_id` is the account to which every answer must belong; unless it is
    set before, it is that of the first answer with an ARN. `login` is shared by all the account's regions.
    `repeated` is called for each request that is made again with new credentials. `callers` limits the calls of all
    clients that share it.
    """

    def __init__(
        self,
        access: Access,
        region: str,
        *,
        timeouts: Timeouts,
        callers: Callers,
        login: Login | None = None,
    ) -> None:
        self.region = region
        self.account_id: str | None = None
        self.where = f"{access} in {region}"
        own = Login(access, region) if login is None else login
        self._caller = Caller(own, "sagemaker", region, timeouts=timeouts, callers=callers)
        self._caller.open(f"A client of {self.where}")

    @property
    def repeated(self) -> Callable[[str], object]:
        """The function called for each request that is made again with new credentials."""
        return self._caller.repeated

    @repeated.setter
    def repeated(self, heard: Callable[[str], object]) -> None:
        self._caller.repeated = heard

    def call(self, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        """Make one request and return its validated answer. Raises what `Caller.call` raises."""

        def judge(response: Any, made: Exchange) -> Answer[Any]:
            answer = decoded(response)
            if isinstance(answer.body, AliasesBody):
                require_new(made)
            account_id = require_subject(operation, parameters, answer, Owner(self.region, self.account_id))
            self.account_id = self.account_id or account_id
            return answer

        return self._caller.call(operation, parameters, judge, self._place(operation, parameters))

    def _place(self, operation: str, parameters: Mapping[str, object]) -> str:
        image = parameters.get("ImageName")
        return (
            f"{operation} of image {image} with {self.where}" if image else f"{operation} with {self.where}"
        )
