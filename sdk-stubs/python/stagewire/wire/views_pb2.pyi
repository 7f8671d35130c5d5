from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Deliver(_message.Message):
    __slots__ = ["attempts", "first_delivery", "input", "records"]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_DELIVERY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedScalarFieldContainer[int]
    first_delivery: int
    input: int
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, input: _Optional[int] = ..., first_delivery: _Optional[int] = ..., attempts: _Optional[_Iterable[int]] = ..., records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class DeliverFrame(_message.Message):
    __slots__ = ["deliver", "version"]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    deliver: Deliver
    version: int
    def __init__(self, version: _Optional[int] = ..., deliver: _Optional[_Union[Deliver, _Mapping]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ["header", "lineage", "payload"]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    header: bytes
    lineage: bytes
    payload: bytes
    def __init__(self, lineage: _Optional[bytes] = ..., header: _Optional[bytes] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Sizes(_message.Message):
    __slots__ = ["records"]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, records: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SizesFrame(_message.Message):
    __slots__ = ["deliver"]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    deliver: Sizes
    def __init__(self, deliver: _Optional[_Union[Sizes, _Mapping]] = ...) -> None: ...
