from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Attribute(_message.Message):
    __slots__ = ["flag", "integer", "name", "number", "text"]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    flag: bool
    integer: int
    name: str
    number: float
    text: str
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ..., integer: _Optional[int] = ..., number: _Optional[float] = ..., flag: bool = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ["attributes", "content_type", "event_time", "key", "schema", "schema_version"]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    content_type: str
    event_time: int
    key: bytes
    schema: str
    schema_version: int
    def __init__(self, schema: _Optional[str] = ..., schema_version: _Optional[int] = ..., key: _Optional[bytes] = ..., event_time: _Optional[int] = ..., content_type: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ["attempt", "delta", "run"]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    delta: int
    run: int
    def __init__(self, run: _Optional[int] = ..., delta: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class Lineage(_message.Message):
    __slots__ = ["hops", "id", "ingest_time", "parents", "parents_truncated", "root", "trace"]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INGEST_TIME_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    PARENTS_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    id: bytes
    ingest_time: int
    parents: _containers.RepeatedScalarFieldContainer[bytes]
    parents_truncated: bool
    root: bytes
    trace: TraceContext
    def __init__(self, id: _Optional[bytes] = ..., parents: _Optional[_Iterable[bytes]] = ..., parents_truncated: bool = ..., root: _Optional[bytes] = ..., trace: _Optional[_Union[TraceContext, _Mapping]] = ..., ingest_time: _Optional[int] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ["header", "lineage", "payload"]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    header: Header
    lineage: Lineage
    payload: bytes
    def __init__(self, lineage: _Optional[_Union[Lineage, _Mapping]] = ..., header: _Optional[_Union[Header, _Mapping]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class TraceContext(_message.Message):
    __slots__ = ["traceparent", "tracestate"]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    traceparent: str
    tracestate: str
    def __init__(self, traceparent: _Optional[str] = ..., tracestate: _Optional[str] = ...) -> None: ...
