"""The model probe: asks the endpoint before the load until its model answers well.

Owns: the requests that ask and the judgement of their responses; the loop around `ModelWait`. Does not own: what is
asked when (`model_wait`), how a request is made (`aiperf.endpoint.client`), who waits for it (`worker`).

Its requests have a client and connections of their own, are in no credit and no record, and say by their ids what they
are. A response is good by the same rules by which a record is a success.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aiperf.clock import Clock
from aiperf.endpoint.dialect import Dialect
from aiperf.endpoint.exchange import ErrorKind, Exchange, Outcome, Sink
from aiperf.endpoint.request_head import RequestHead
from aiperf.errors import BenchmarkError
from aiperf.record.answer import Answer
from aiperf.record.known_reads import KnownReads
from aiperf.record.stream import BODY_LIMIT_BYTES, ResponseBody, response_body
from aiperf.service.model_wait import Ask, Fault, GiveUp, Mode, ModelWait, Ready, Say, Topic, unlisted_models_notice
from aiperf.service.worker import Client
from aiperf.units import NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Notice

NO_PHASE = -1


class ModelProbe:
    """Asks, and is the sink of its own client. For one wait."""

    def __init__(
        self,
        *,
        seat: Seat,
        clock: Clock,
        run_id: str,
        mode: Mode,
        timeout_s: float,
        urls: Sequence[str],
        models: Sequence[str],
        heads: Mapping[Topic, Sequence[RequestHead]],
        dialect: Dialect,
        streaming: bool,
        make_client: Callable[[Sink], Client],
    ) -> None:
        """`heads` has one for each URL; `models` are those asked for."""
        self._seat = seat
        self._clock = clock
        self._run_id = run_id
        self._mode = mode
        self._timeout_s = timeout_s
        self._urls = urls
        self._models = models
        self._heads = heads
        self._dialect = dialect
        self._streaming = streaming
        self._make_client = make_client
        self._asked_count = 0
        self._topic = Topic.INFERENCE
        """Of the question in flight; there is one at a time."""
        self._body: ResponseBody | None = None
        """Of its response."""
        self._answers: asyncio.Queue[Fault | None] = asyncio.Queue()

    async def until_model_answers(self, request_body: bytes) -> None:
        """Returns when every URL has answered well. Raises: BenchmarkError with the last reason if time is over."""
        wait = ModelWait(self._mode, self._urls, timeout_s=self._timeout_s, started_ns=self._clock.now_ns())
        client = self._make_client(self)
        client.attach(asyncio.get_running_loop())
        try:
            while True:
                for action in wait.proceed(self._clock.now_ns()):
                    match action:
                        case Ask():
                            client.submit(self._exchange(action, request_body))
                        case Say():
                            self._seat.send(Notice(action.text))
                        case Ready():
                            return
                        case GiveUp():
                            raise BenchmarkError(action.reason)
                try:
                    pause_s = max(0, wait.wake_ns - self._clock.now_ns()) / NS_PER_S
                    fault = await asyncio.wait_for(self._answers.get(), pause_s)
                except TimeoutError:
                    continue
                wait.answered(fault, self._clock.now_ns())
        finally:
            client.close()

    def _exchange(self, ask: Ask, request_body: bytes) -> Exchange:
        self._topic, self._body = ask.topic, None
        self._asked_count += 1
        body = request_body if ask.topic is Topic.INFERENCE else b""
        wait_id = f"{self._run_id}-wait-for-model"
        head = self._heads[ask.topic][ask.url_index].write(f"{wait_id}-{self._asked_count}", wait_id, len(body))
        return Exchange(
            self._asked_count,
            credit_index=-1,
            turn_index=0,
            phase=NO_PHASE,
            entry_index=0,
            url_index=ask.url_index,
            due_ns=-1,
            dispatched_ns=self._clock.now_ns(),
            rearm_delay_ns=-1,
            head=head,
            body=body,
        )

    # What the client sees

    def on_head(self, exchange: Exchange) -> None:
        answer = Answer(keeps_text=False, keeps_chunks=False)
        if self._topic is Topic.MODELS and 200 <= exchange.http_status < 300:
            self._body = ModelListBody(answer)
        else:
            known = KnownReads(self._dialect.decode_event)
            self._body = response_body(
                exchange.http_status, exchange.body_kind, answer, self._dialect, known, streaming=self._streaming
            )

    def on_read(self, exchange: Exchange, stamp_ns: int, after_ns: int, data: bytes) -> None:  # noqa: ARG002 (one at a time)
        if self._body is not None:
            self._body.read(stamp_ns, after_ns, data)

    def on_end(self, exchange: Exchange) -> None:
        self._answers.put_nowait(self._fault_of(exchange))

    def _fault_of(self, exchange: Exchange) -> Fault | None:
        body, kind, text = self._body, exchange.error_kind, exchange.error_text
        if body is not None and (exchange.outcome == Outcome.COMPLETED or kind == ErrorKind.HTTP_STATUS):
            body.conclude()
            if body.answer.fault_kind:
                kind, text = body.answer.fault_kind, body.answer.fault_text
        if not kind:
            if isinstance(body, ModelListBody) and (notice := unlisted_models_notice(body.data, self._models)):
                self._seat.send(Notice(notice, lasting=True))
            return None
        name = ErrorKind(kind).name.lower()
        return Fault(f"{name} {exchange.http_status}" if kind == ErrorKind.HTTP_STATUS else name, text)


class ModelListBody:
    """The body of a list of models: any is good."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.data = b""

    def read(self, stamp_ns: int, after_ns: int, data: bytes) -> None:  # noqa: ARG002 (it is not measured)
        if len(self.data) <= BODY_LIMIT_BYTES:
            self.data += data

    def conclude(self) -> None:
        """There is nothing to be judged."""
