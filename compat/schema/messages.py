"""Protobuf messages without protoc: classes made of descriptors that are written down here.

Files are named by package and version, each in a pool of its own, since a pool has one message of a name.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

Field = descriptor_pb2.FieldDescriptorProto
TIMESTAMP = "google/protobuf/timestamp.proto"
MONEY = "shop/money.proto"


def field(name, number, kind, type_name=None):
    return Field(name=name, number=number, type=kind, label=Field.LABEL_OPTIONAL, type_name=type_name)


def file(name, *messages, dependencies=()):
    return descriptor_pb2.FileDescriptorProto(name=name, package="shop", syntax="proto3", message_type=messages, dependency=dependencies)


def message(name, *fields, nested=()):
    return descriptor_pb2.DescriptorProto(name=name, field=fields, nested_type=nested)


ID, TOTAL = field("id", 1, Field.TYPE_STRING), field("total", 2, Field.TYPE_INT64)
NOTE = field("note", 3, Field.TYPE_STRING)
FIRST = file("shop/order.proto", message("Order", ID, TOTAL))
SECOND = file("shop/order.proto", message("Order", ID, TOTAL, NOTE))
INCOMPATIBLE = file("shop/order.proto", message("Order", ID, field("total", 2, Field.TYPE_STRING)))
MONEY_FILE = file(MONEY, message("Money", field("cents", 1, Field.TYPE_INT64), field("currency", 2, Field.TYPE_STRING)))
PRICED = file(
    "shop/priced.proto",
    message("Priced", ID, field("price", 2, Field.TYPE_MESSAGE, ".shop.Money"), field("at", 3, Field.TYPE_MESSAGE, ".google.protobuf.Timestamp")),
    dependencies=[MONEY, TIMESTAMP],
)
# The message that is meant is neither the first of its file nor an outer one.
NESTING = file("shop/nesting.proto", message("First", ID), message("Outer", ID, nested=[message("Other", ID), message("Inner", ID, TOTAL)]))


def message_class(name, *files):
    """The class of a message; the last file has it, and those before are what that one imports."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for each in files:
        pool.AddSerializedFile(each.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
