# A gRPC service over HTTP/2 in clear: prints its port, ends with its input.
import sys
import threading
from concurrent import futures

import grpc

seen = []


def say(request, context):
    metadata = dict(context.invocation_metadata())
    if request == b"missing":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
    if request == b"slow":
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(20)
        return b"late"
    if request == b"left":
        return str(context.time_remaining() or 0).encode()
    context.set_trailing_metadata((("x-sum", str(len(request))),))
    return metadata["x-account-id"].encode() + b" " + metadata.get("authorization", "-").encode()


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()
    context.set_trailing_metadata((("x-sum", "all"),))


def add(requests, context):
    return str(sum(int(request) for request in requests)).encode()


def repeat(requests, context):
    yield from requests


handlers = {
    "Say": grpc.unary_unary_rpc_method_handler(say),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Add": grpc.stream_unary_rpc_method_handler(add),
    "Repeat": grpc.stream_stream_rpc_method_handler(repeat),
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(None)
