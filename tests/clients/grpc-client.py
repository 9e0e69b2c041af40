# Calls of every kind, with a key and without.
import os

import grpc

with open(os.environ["CA"], "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
channel = grpc.secure_channel(os.environ["BASE"], credentials, [("grpc.enable_http_proxy", 0)])
key = (("authorization", "Bearer " + os.environ["KEY"]),)


def method(kind, name):
    return getattr(channel, kind)("/test.Echo/" + name)


def fails(call):
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}" if error.code() else "?"
    return "no failure"


say = method("unary_unary", "Say")
answer, call = say.with_call(b"hello", metadata=key, timeout=10)
print("unary:", answer.decode(), call.code().name, dict(call.trailing_metadata())["x-sum"])

stream = method("unary_stream", "Count")(b"1000", metadata=key, timeout=10)
numbers = [int(number) for number in stream]
trailers = dict(stream.trailing_metadata())
print("answers:", len(numbers), sum(numbers), stream.code().name, trailers["x-sum"])

total = method("stream_unary", "Add")((str(n).encode() for n in range(1000)), metadata=key, timeout=10)
print("requests:", total.decode())

both = method("stream_stream", "Repeat")((str(n).encode() for n in range(100)), metadata=key, timeout=10)
print("both:", sum(int(number) for number in both))

left = float(say(b"left", metadata=key, timeout=100))
# The library rounds it, in the sender's favour.
print("time left:", "as said" if 50 < left < 110 else left)
print("late:", fails(lambda: say(b"slow", metadata=key, timeout=0.5)).split(" ")[0])
print("error:", fails(lambda: say(b"missing", metadata=key, timeout=10)))
print("no key:", fails(lambda: say(b"hello", timeout=10)).split(" ")[0])
wrong = (("authorization", "Bearer nobodys-key-0123456789abcdef"),)
print("wrong key:", fails(lambda: say(b"hello", metadata=wrong, timeout=10)).split(" ")[0])
narrow = (("authorization", "Bearer " + os.environ["NARROW"]),)
print("narrow key:", fails(lambda: say(b"hello", metadata=narrow, timeout=10)).split(" ")[0])
