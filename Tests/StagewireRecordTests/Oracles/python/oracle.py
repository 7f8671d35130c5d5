"""The Python oracle; see ../build.sh. Its argument is a descriptor set of record.proto."""

import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory


def record_class(path):
    descriptors = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as file:
        descriptors.ParseFromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    descriptor = pool.FindMessageTypeByName("stagewire.v1.Record")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def main():
    record_type = record_class(sys.argv[1])
    cases = sys.stdin.buffer
    while prefix := cases.read(4):
        data = cases.read(struct.unpack(">I", prefix)[0])
        record = record_type()
        try:
            record.ParseFromString(data)
        except message.DecodeError:
            print("no")
            continue
        # Reading the texts decodes them: an interpreter's library may put that off until then.
        _ = record.header.schema + record.header.content_type
        for attribute in record.header.attributes:
            _ = attribute.name + attribute.text
        print("ok", record.lineage.id.hex() or "-", record.header.key.hex() or "-", len(record.payload))


main()
