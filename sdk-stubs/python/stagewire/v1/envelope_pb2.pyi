from stagewire.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
DRAIN_REASON_INPUT_ENDED: DrainReason
DRAIN_REASON_SHUTDOWN: DrainReason
DRAIN_REASON_UNSPECIFIED: DrainReason
ORDERING_KEY: Ordering
ORDERING_NONE: Ordering
ORDERING_TOTAL: Ordering
ORDERING_UNSPECIFIED: Ordering
OUTCOME_KIND_ACCEPTED: OutcomeKind
OUTCOME_KIND_REJECTED: OutcomeKind
OUTCOME_KIND_RELEASED: OutcomeKind
OUTCOME_KIND_RETRY: OutcomeKind
OUTCOME_KIND_UNSPECIFIED: OutcomeKind

class Claim(_message.Message):
    __slots__ = ["partition"]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    partition: str
    def __init__(self, partition: _Optional[str] = ...) -> None: ...

class Claimed(_message.Message):
    __slots__ = ["checkpoint", "epoch", "last_emit_id", "partition"]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_EMIT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    epoch: int
    last_emit_id: int
    partition: str
    def __init__(self, partition: _Optional[str] = ..., epoch: _Optional[int] = ..., last_emit_id: _Optional[int] = ..., checkpoint: _Optional[bytes] = ...) -> None: ...

class Close(_message.Message):
    __slots__ = ["code", "message"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class Committed(_message.Message):
    __slots__ = ["partition", "refused", "through"]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    partition: str
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    through: int
    def __init__(self, partition: _Optional[str] = ..., through: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ["bytes", "number", "records"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    number: int
    records: int
    def __init__(self, number: _Optional[int] = ..., records: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ["attempts", "first_delivery", "input", "partition", "records", "sequence", "stream"]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_DELIVERY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedScalarFieldContainer[int]
    first_delivery: int
    input: int
    partition: int
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    sequence: int
    stream: int
    def __init__(self, input: _Optional[int] = ..., first_delivery: _Optional[int] = ..., attempts: _Optional[_Iterable[int]] = ..., records: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., stream: _Optional[int] = ..., partition: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ["deadline_ms", "reason"]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    deadline_ms: int
    reason: DrainReason
    def __init__(self, reason: _Optional[_Union[DrainReason, str]] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class Emission(_message.Message):
    __slots__ = ["output", "parents", "port", "trace"]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    output: _record_pb2.Record
    parents: _containers.RepeatedScalarFieldContainer[int]
    port: int
    trace: _record_pb2.TraceContext
    def __init__(self, port: _Optional[int] = ..., parents: _Optional[_Iterable[int]] = ..., output: _Optional[_Union[_record_pb2.Record, _Mapping]] = ..., trace: _Optional[_Union[_record_pb2.TraceContext, _Mapping]] = ...) -> None: ...

class Emit(_message.Message):
    __slots__ = ["checkpoint", "emissions", "emit_id", "partition"]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EMISSIONS_FIELD_NUMBER: _ClassVar[int]
    EMIT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    emissions: _containers.RepeatedCompositeFieldContainer[Emission]
    emit_id: int
    partition: str
    def __init__(self, partition: _Optional[str] = ..., emit_id: _Optional[int] = ..., emissions: _Optional[_Iterable[_Union[Emission, _Mapping]]] = ..., checkpoint: _Optional[bytes] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ["claim", "claimed", "close", "committed", "credit", "deliver", "drain", "emit", "extend", "finished", "hello", "ping", "pong", "runs", "settle", "settled", "version", "welcome"]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    claim: Claim
    claimed: Claimed
    close: Close
    committed: Committed
    credit: Credit
    deliver: Deliver
    drain: Drain
    emit: Emit
    extend: Extend
    finished: Finished
    hello: Hello
    ping: Ping
    pong: Pong
    runs: Runs
    settle: Settle
    settled: Settled
    version: int
    welcome: Welcome
    def __init__(self, version: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., close: _Optional[_Union[Close, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., deliver: _Optional[_Union[Deliver, _Mapping]] = ..., settle: _Optional[_Union[Settle, _Mapping]] = ..., emit: _Optional[_Union[Emit, _Mapping]] = ..., committed: _Optional[_Union[Committed, _Mapping]] = ..., settled: _Optional[_Union[Settled, _Mapping]] = ..., extend: _Optional[_Union[Extend, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., runs: _Optional[_Union[Runs, _Mapping]] = ..., claim: _Optional[_Union[Claim, _Mapping]] = ..., claimed: _Optional[_Union[Claimed, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ["code", "indefinite", "message"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    INDEFINITE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    indefinite: bool
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., indefinite: bool = ...) -> None: ...

class Extend(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class Finished(_message.Message):
    __slots__ = ["partition"]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    partition: str
    def __init__(self, partition: _Optional[str] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ["instance", "language", "max_frame", "max_version", "min_version", "offered", "reads", "required", "sdk", "stage", "stage_version", "token", "writes"]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_FIELD_NUMBER: _ClassVar[int]
    MAX_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STAGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    WRITES_FIELD_NUMBER: _ClassVar[int]
    instance: str
    language: str
    max_frame: int
    max_version: int
    min_version: int
    offered: _containers.RepeatedScalarFieldContainer[str]
    reads: _containers.RepeatedCompositeFieldContainer[Schema]
    required: _containers.RepeatedScalarFieldContainer[str]
    sdk: str
    stage: str
    stage_version: str
    token: bytes
    writes: _containers.RepeatedCompositeFieldContainer[Schema]
    def __init__(self, min_version: _Optional[int] = ..., max_version: _Optional[int] = ..., stage: _Optional[str] = ..., instance: _Optional[str] = ..., stage_version: _Optional[str] = ..., offered: _Optional[_Iterable[str]] = ..., required: _Optional[_Iterable[str]] = ..., max_frame: _Optional[int] = ..., token: _Optional[bytes] = ..., sdk: _Optional[str] = ..., language: _Optional[str] = ..., reads: _Optional[_Iterable[_Union[Schema, _Mapping]]] = ..., writes: _Optional[_Iterable[_Union[Schema, _Mapping]]] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ["max_unsettled_bytes", "max_unsettled_records", "number", "ordering", "port", "stage"]
    MAX_UNSETTLED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_UNSETTLED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ORDERING_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    max_unsettled_bytes: int
    max_unsettled_records: int
    number: int
    ordering: Ordering
    port: str
    stage: str
    def __init__(self, number: _Optional[int] = ..., stage: _Optional[str] = ..., port: _Optional[str] = ..., max_unsettled_records: _Optional[int] = ..., max_unsettled_bytes: _Optional[int] = ..., ordering: _Optional[_Union[Ordering, str]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ["delay_ms", "emissions", "error", "first", "kind", "last", "more"]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    EMISSIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    delay_ms: int
    emissions: _containers.RepeatedCompositeFieldContainer[Emission]
    error: Error
    first: int
    kind: OutcomeKind
    last: int
    more: _containers.RepeatedCompositeFieldContainer[Range]
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., kind: _Optional[_Union[OutcomeKind, str]] = ..., emissions: _Optional[_Iterable[_Union[Emission, _Mapping]]] = ..., delay_ms: _Optional[int] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., more: _Optional[_Iterable[_Union[Range, _Mapping]]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ["number", "port"]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    number: int
    port: str
    def __init__(self, number: _Optional[int] = ..., port: _Optional[str] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ["nonce"]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ["nonce"]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ["first", "last"]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ["error", "id"]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    error: Error
    id: int
    def __init__(self, id: _Optional[int] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ["instance", "language", "number", "stage", "version"]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    instance: str
    language: str
    number: int
    stage: str
    version: str
    def __init__(self, number: _Optional[int] = ..., stage: _Optional[str] = ..., version: _Optional[str] = ..., instance: _Optional[str] = ..., language: _Optional[str] = ...) -> None: ...

class Runs(_message.Message):
    __slots__ = ["runs"]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ...) -> None: ...

class Schema(_message.Message):
    __slots__ = ["definition", "name", "version"]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    definition: bytes
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., definition: _Optional[bytes] = ...) -> None: ...

class Settle(_message.Message):
    __slots__ = ["outcomes"]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class Settled(_message.Message):
    __slots__ = ["refused", "through"]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    through: int
    def __init__(self, through: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ["config", "features", "heartbeat_ms", "idle_ms", "inputs", "instance", "lease_ms", "max_frame", "max_record", "max_step_bytes", "max_step_records", "outputs", "pipeline", "session", "stamp_reserve", "version"]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORD_FIELD_NUMBER: _ClassVar[int]
    MAX_STEP_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_STEP_RECORDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STAMP_RESERVE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    config: bytes
    features: _containers.RepeatedScalarFieldContainer[str]
    heartbeat_ms: int
    idle_ms: int
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    instance: str
    lease_ms: int
    max_frame: int
    max_record: int
    max_step_bytes: int
    max_step_records: int
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    pipeline: str
    session: int
    stamp_reserve: int
    version: int
    def __init__(self, version: _Optional[int] = ..., session: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., max_frame: _Optional[int] = ..., max_record: _Optional[int] = ..., stamp_reserve: _Optional[int] = ..., max_step_records: _Optional[int] = ..., max_step_bytes: _Optional[int] = ..., heartbeat_ms: _Optional[int] = ..., idle_ms: _Optional[int] = ..., lease_ms: _Optional[int] = ..., config: _Optional[bytes] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., pipeline: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class Ordering(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class DrainReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class OutcomeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
